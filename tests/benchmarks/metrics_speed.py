"""Times the evaluators beside plain loops over the same rules: `python -m tests.benchmarks.metrics_speed`.

Made-up predictions of the size of the benchmarks: QVHighlights val (1,550 queries, 10 windows, 75 clips) and
ActivityNet Captions val_2 (17,031 queries, 100 candidates). The published QVHighlights script needs about 21 s for
this (eight workers on two cores). The evaluators use one thread: they make no matrix products.
"""

import logging
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.unit.made_predictions import made_candidates, made_qvh
from tests.unit.plain_metrics import plain_qvh, plain_ranked
from workflow_scripts.metrics.qvhighlights import evaluate as evaluate_qvh
from workflow_scripts.metrics.ranked_spans import MMN, TAN, evaluate, evaluate_rows

QVH_QUERIES = 1550
QVH_OFFICIAL_S = 21.0
RANKED_QUERIES, CANDIDATES = 17_031, 100
LOOP_QUERIES = 300
"""Queries of the plain loop over candidates; its time is scaled up."""


def timed(function: Callable[[], Any], n_runs: int = 3) -> float:
    """Return the shortest of some runs, in seconds."""
    times = []
    for _ in range(n_runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_mb() -> float:
    """Return the largest memory that this process had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    logging.disable(logging.WARNING)
    predictions, annotations = made_qvh(QVH_QUERIES)
    fast_s = timed(lambda: evaluate_qvh(predictions, annotations))
    loop_s = timed(lambda: plain_qvh(predictions, annotations), 1)
    print(f"QVHighlights, {QVH_QUERIES} queries x 10 windows: {fast_s:.3f} s")
    print(f"  plain loop {loop_s:.1f} s ({loop_s / fast_s:.0f} x)")
    print(f"  published script {QVH_OFFICIAL_S:.0f} s ({QVH_OFFICIAL_S / fast_s:.0f} x)")
    candidates, reference = made_candidates(RANKED_QUERIES, CANDIDATES)
    ids = [str(i) for i in range(RANKED_QUERIES)]
    some = candidates.rows(np.arange(LOOP_QUERIES))
    for rule in (TAN, MMN):
        fast_s = timed(lambda rule=rule: evaluate(ids, candidates, reference, rule, 0.5), 1)
        loop_s = timed(lambda rule=rule: plain_ranked(some.spans, reference[:LOOP_QUERIES], rule, 0.5), 1)
        loop_s *= RANKED_QUERIES / LOOP_QUERIES
        print(f"R@1, R@5, mIoU ({rule.name}), {RANKED_QUERIES} queries x {CANDIDATES} candidates: {fast_s:.2f} s")
        print(f"  plain loop {loop_s:.0f} s, scaled up from {LOOP_QUERIES} queries ({loop_s / fast_s:.0f} x)")
    print(f"  largest memory of the process: {peak_mb():.0f} MB")
    rows = [
        {"vid": vid, "sentence_index": 0, "gt": span.tolist(), "candidates": np.column_stack([spans, scores]).tolist()}
        for vid, span, spans, scores in zip(ids, reference, candidates.spans, candidates.scores, strict=True)
    ]
    held_mb = peak_mb()
    start = time.perf_counter()
    evaluate_rows(rows, MMN, 0.5)
    print(f"the same from rows of lists: {time.perf_counter() - start:.2f} s")
    print(f"  largest memory of the process: {peak_mb():.0f} MB, of which {held_mb:.0f} MB with the rows read")


if __name__ == "__main__":
    main()
