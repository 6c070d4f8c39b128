"""The embedded demo dataset: planned events, rendered videos, and annotation files in the published layouts."""
