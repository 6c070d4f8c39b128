"""Answers without looking: what a system has to beat."""
