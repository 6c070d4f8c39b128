"""Readers of published annotation formats, the canonical tables, and the demo dataset."""
