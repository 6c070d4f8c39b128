"""Entry points of the workflow's rules and the library packages they call."""
