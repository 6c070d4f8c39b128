"""CALCE: caption-assisted moment retrieval in two stages, with a language model (tjhd1475/CALCE)."""
