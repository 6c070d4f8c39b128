"""A page on this machine alone: search videos, play what is found, correct it and keep it as annotations."""
