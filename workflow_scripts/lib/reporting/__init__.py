"""Scores with their groups, ablations and baselines; provenance; figures and HTML."""
