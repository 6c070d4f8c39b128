"""Frozen encoders, one module each; `interface.py` says what an encoder gives to the extraction jobs."""
