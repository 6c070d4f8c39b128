"""Made-up predictions and annotations for tests and benchmarks of the metrics."""

from collections.abc import Sequence

import numpy as np

from workflow_scripts.lib.metrics.clip_saliency import ClipRatings, read_clip_scores
from workflow_scripts.lib.metrics.questions import Moments, Spans
from workflow_scripts.lib.metrics.windows import Windows, list_windows

DURATION_S = 150.0


def moments(annotated: Sequence[Sequence[Sequence[float]]], durations_s: Sequence[float] | None = None) -> Moments:
    """Return queries with annotated windows, every query in a video of its own."""
    ids = [f"q{i}" for i in range(len(annotated))]
    durations_s = [DURATION_S] * len(ids) if durations_s is None else durations_s
    return Moments(ids, [f"v{i}" for i in range(len(ids))], np.array(durations_s, float), list_windows(ids, annotated))


def spans(predicted: Sequence[Sequence[Sequence[float]]]) -> Spans:
    """Return predicted windows of queries: start, end, and score where the rule set needs one."""
    return Spans(list_windows([f"q{i}" for i in range(len(predicted))], predicted))


def qvh_question(annotations: list[dict]) -> Moments:
    """Return the question of annotated rows in the format of QVHighlights."""
    question = moments([row["relevant_windows"] for row in annotations], [row["duration"] for row in annotations])
    counts = (question.durations_s / 2).astype(int)
    ratings = np.zeros((len(counts), counts.max(), 3))
    for i, row in enumerate(annotations):
        ratings[i, row["relevant_clip_ids"]] = row["saliency_scores"]
    return Moments(
        question.ids, question.video_ids, question.durations_s, question.targets, ClipRatings(ratings, counts)
    )


def qvh_answers(predictions: list[dict], question: Moments) -> Spans:
    """Return the answers of predicted rows in the format of QVHighlights."""
    windows = spans([row["pred_relevant_windows"] for row in predictions]).windows
    lists = [row["pred_saliency_scores"] for row in predictions]
    return Spans(windows, read_clip_scores(question.ids, lists, question.ratings.counts, empty_ok=False))


def made_qvh(n_queries: int, seed: int = 0) -> tuple[list[dict], list[dict]]:
    """Return predictions and annotations in the format of QVHighlights."""
    rng = np.random.default_rng(seed)
    predictions, annotations = [], []
    for qid in range(n_queries):
        edges = np.sort(rng.choice(76, size=2 * int(rng.integers(1, 5)), replace=False)) * 2.0
        windows = edges.reshape(-1, 2)
        clips = [c for c in range(75) if ((windows[:, 0] <= 2 * c) & (2 * c < windows[:, 1])).any()]
        noisy = np.sort(windows[rng.integers(0, len(windows), 10)] + rng.normal(0, 5, (10, 2)), axis=1).clip(0, 150)
        scored = np.column_stack([noisy, np.sort(rng.random(10))[::-1]])
        predictions.append(
            {"qid": qid, "pred_relevant_windows": scored.tolist(), "pred_saliency_scores": rng.normal(size=75).tolist()}
        )
        annotations.append(
            {
                "qid": qid,
                "duration": 150,
                "relevant_windows": windows.tolist(),
                "relevant_clip_ids": clips,
                "saliency_scores": rng.integers(0, 5, (len(clips), 3)).tolist(),
            }
        )
    return predictions, annotations


def made_candidates(n_queries: int, n_candidates: int, seed: int = 0) -> tuple[Windows, np.ndarray]:
    """Return candidates on a grid of 64 clips, those near a centre of the query scored highest, and annotated spans."""
    rng = np.random.default_rng(seed)
    durations_s = rng.uniform(20, 240, (n_queries, 1, 1))
    first = rng.integers(0, 64, (n_queries, n_candidates))
    last = first + 1 + (rng.random(first.shape) * (64 - first)).astype(int)
    centre = rng.uniform(10, 54, (n_queries, 1))
    scores = 1 / (1 + np.abs((first + last) / 2 - centre)) + rng.random(first.shape) * 0.05
    order = np.argsort(-scores, axis=1)
    spans = np.take_along_axis(np.stack([first, last], axis=-1), order[..., None], axis=1) * durations_s / 64
    reference = np.sort(rng.random((n_queries, 2)), axis=1) * durations_s[:, 0]
    return Windows(spans, np.take_along_axis(scores, order, axis=1), np.full(n_queries, n_candidates)), reference
