"""What systems answer: one table per task, their checks, and the answers as rule sets take them."""
