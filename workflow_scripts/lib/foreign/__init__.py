"""Files that others made: opened, bounded and read so that a bad one costs itself and nothing else."""
