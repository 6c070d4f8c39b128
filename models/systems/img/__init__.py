"""IMG: importance-aware multi-granularity audio-visual fusion for moment retrieval (arXiv 2508.04273)."""
