"""The answer that knows only a query's rank: what it is worth, on made moments and on its limits."""

import numpy as np

from workflow_scripts.lib.metrics.order_span import order_only_recall
from workflow_scripts.lib.predictions.references import Reference
from workflow_scripts.lib.reporting.scores import order_baseline
from workflow_scripts.lib.reporting.table import metrics_table


def video(*starts: float, length: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    moments = np.array([(start, start + length) for start in starts])
    return moments, np.argsort(np.argsort(moments[:, 0], kind="stable"))


def test_ranks_that_tell_the_place_are_answered_and_those_that_do_not_are_not():
    ordered = [video(0.0, 0.4, 0.8) for _ in range(5)]
    assert order_only_recall(ordered, ordered, 0.7) == 100.0
    single = [video(start) for start in (0.0, 0.25, 0.5, 0.75)]
    assert order_only_recall(single, single, 0.7) == 25.0


def test_ranks_without_training_get_the_best_constant_span():
    train = [video(0.5), video(0.5), video(0.0)]
    assert order_only_recall(train, [video(0.1, 0.5)], 0.7) == 50.0


def test_videos_of_many_queries_share_bins_of_ranks():
    train, test = ([video(*np.linspace(0, 0.8, n))] for n in (100, 99))
    assert order_only_recall(train, test, 0.5) > 90


def reference(video_id: str, query: int, start: float, end: float | None) -> Reference:
    span = None if end is None else (start, end)
    return Reference(f"{video_id}{query}", video_id, "words", 10.0, span, {})


def test_the_baseline_ranks_by_start_whatever_the_order_of_the_queries_and_stands_in_the_table():
    split = [reference(v, q, start, start + 2.0) for v in "ab" for q, start in enumerate((8.0, 0.0, 4.0))]
    found = order_baseline(split, split[::-1], (0.5, 0.7))
    assert found["metrics"] == {"R1@0.5": 100.0, "R1@0.7": 100.0}
    assert order_baseline([], split, (0.5,)) is None
    assert order_baseline([reference("a", 0, 0.0, None)], split, (0.5,)) is None
    scores = {"metrics": {"R1@0.5": 40.0}, "groups": {}}
    metrics = {
        **scores,
        "system": "mrnet",
        "dataset": "demo",
        "split": "test",
        "protocol": "published",
        "ablations": {},
        "variations": {"queries_alone": {"metrics": {"R1@0.5": 30.0}, "groups": {}}},
        "baselines": {"best_constant": None, "order_only": found},
        "counts": {"queries": 6, "evaluated": 6, "skipped": {}},
    }
    lines = metrics_table(metrics).splitlines()
    assert [line.split() for line in lines[3:6]] == [
        ["order", "of", "the", "moments", "alone", "100.0"],
        ["mrnet", "40.0"],
        ["mrnet,", "queries", "alone", "30.0"],
    ]
