"""The official evaluators of the benchmarks, re-implemented on plain arrays."""
