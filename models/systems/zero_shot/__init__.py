"""Answers without training: rows of queries against rows of videos."""
