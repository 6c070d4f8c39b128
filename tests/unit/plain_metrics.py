"""The evaluators' rules as plain loops over single windows: slow, for comparison with the vectorised ones."""

import numpy as np

from workflow_scripts.lib.metrics.ranked_spans import Rule

THRESHOLDS = [round(0.5 + 0.05 * i, 2) for i in range(10)]
LIMITS = {"short": (0, 10), "middle": (10, 30), "long": (30, 150), "full": (0, 1e9)}


def plain_iou(first, second, by_hull: bool) -> float:
    """Return overlap over hull, or over the sum of lengths less overlap."""
    overlap = max(0, min(first[1], second[1]) - max(first[0], second[0]))
    hull = max(first[1], second[1]) - min(first[0], second[0])
    union = hull if by_hull else (first[1] - first[0]) + (second[1] - second[0]) - overlap
    return overlap / union if union > 0 else float(tuple(first) == tuple(second))


def plain_ap(windows: list, targets: list, threshold: float) -> float:
    """Return the average precision of one query at one threshold."""
    taken, hits = set(), []
    for window in windows:
        ious = [plain_iou(window, target, by_hull=False) for target in targets]
        order = sorted(range(len(targets)), key=lambda i: (ious[i], i), reverse=True)
        chosen = next((i for i in order if i not in taken and ious[i] >= threshold), None)
        hits.append(chosen is not None)
        taken |= {chosen} - {None}
    precision = [sum(hits[: i + 1]) / (i + 1) for i in range(len(hits))]
    return sum(max(precision[i:]) for i, hit in enumerate(hits) if hit) / len(targets)


def plain_moments(predictions: list[dict], annotations: list[dict]) -> dict[str, dict[str, list[float]]]:
    """Return mAP and R1 in percent at the ten thresholds, for every range of lengths."""
    truth = {row["qid"]: row["relevant_windows"] for row in annotations}
    numbers = {}
    for name, (above, up_to) in LIMITS.items():
        aps, tops = [], []
        for row in predictions:
            windows = [window[:2] for window in sorted(row["pred_relevant_windows"][:10], key=lambda w: -w[2])]
            targets = [t for t in truth[row["qid"]] if name == "full" or above < t[1] - t[0] <= up_to]
            if targets:
                aps.append([plain_ap(windows, targets, t) for t in THRESHOLDS])
                top = row["pred_relevant_windows"][0][:2]
                best = max(targets, key=lambda target: plain_iou(top, target, by_hull=False))
                tops.append(plain_iou(top, best, by_hull=True))
        if aps:
            recall = [100 * sum(top >= t for top in tops) / len(tops) for t in THRESHOLDS]
            numbers[name] = {"MR-mAP": list(100 * np.mean(aps, axis=0)), "MR-R1": recall}
    return numbers


def plain_clip_ap(scores: list[float], labels: list[bool]) -> float:
    """Return the average precision of one rater's clips; `scores` has the length of `labels`."""
    if all(labels) or not any(labels):
        return float(all(labels))
    points, n_found = [], 0
    for threshold in sorted(set(scores), reverse=True):
        chosen = [label for score, label in zip(scores, labels, strict=True) if score >= threshold]
        points.append((sum(chosen) / len(chosen), sum(chosen) > n_found))
        n_found = sum(chosen)
    best = [max(precision for precision, _ in points[i:]) for i in range(len(points))]
    return float(np.mean([value for value, (_, grows) in zip(best, points, strict=True) if grows]))


def plain_saliency(predictions: list[dict], annotations: list[dict]) -> dict[int, tuple[float, float]]:
    """Return mAP and HIT@1 in percent for every minimum rating."""
    truth = {row["qid"]: row for row in annotations}
    numbers = {}
    for minimum in (2, 3, 4):
        aps, hits = [], []
        for row in predictions:
            gold = truth[row["qid"]]
            n_clips = int(gold["duration"] / 2)
            ratings = dict(zip(gold["relevant_clip_ids"], gold["saliency_scores"], strict=True))
            scores = (row["pred_saliency_scores"] + [0.0] * n_clips)[:n_clips]
            for rater in range(3):
                labels = [ratings.get(c, (0, 0, 0))[rater] >= minimum for c in range(n_clips)]
                aps.append(plain_clip_ap(scores, labels))
            best = max(range(len(row["pred_saliency_scores"])), key=row["pred_saliency_scores"].__getitem__)
            hits.append(best < n_clips and max(ratings.get(best, (0, 0, 0))) >= minimum)
        numbers[minimum] = (100 * float(np.mean(aps)), 100 * float(np.mean(hits)))
    return numbers


def plain_qvh(predictions: list[dict], annotations: list[dict]) -> tuple[dict, dict]:
    """Return everything that QVHighlights reports."""
    return plain_moments(predictions, annotations), plain_saliency(predictions, annotations)


def plain_ranked(spans: np.ndarray, reference: np.ndarray, rule: Rule, threshold: float) -> list[list[float]]:
    """Return for every query the IoUs of the first five spans that suppression keeps; spans are sorted by score."""
    spans, reference = spans.astype(rule.dtype), reference.astype(rule.dtype)
    found = []
    for candidates, target in zip(spans, reference, strict=True):
        kept = []
        for span in candidates:
            if all(plain_iou(span, other, rule.suppresses_by_hull) <= rule.dtype(threshold) for other in kept):
                kept.append(span)
            if len(kept) == 5:
                break
        found.append([float(plain_iou(span, target, by_hull=True)) for span in kept])
    return found
