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


def plain_hits(span: tuple[float, float], moments: list, threshold: float) -> int:
    """Return how many moments a span hits, each in the units of the span."""
    return sum(plain_iou(span, moment, by_hull=True) >= threshold for moment in moments)


def plain_constant_span(
    moments: list, durations_s: list[float], threshold: float, n_intervals: int
) -> tuple[str, float, float, float]:
    """Return unit, start, end and recall in percent of the span that hits most moments, the first of equals."""
    best = ("", 0.0, 0.0, -1.0)
    for unit, extent in (("seconds", max(end for _, end in moments)), ("duration", 1.0)):
        edges = [extent * i / n_intervals for i in range(n_intervals + 1)]
        for i, start in enumerate(edges):
            for end in edges[i + 1 :]:
                n_hit = 0
                for moment, duration_s in zip(moments, durations_s, strict=True):
                    factor = duration_s if unit == "duration" else 1.0
                    span = (min(start * factor, duration_s), min(end * factor, duration_s))
                    n_hit += plain_hits(span, [moment], threshold)
                recall = 100 * n_hit / len(moments)
                best = (unit, start, end, recall) if recall > best[3] else best
    return best


def plain_order_only(train: list[list], test: list[list], threshold: float, n_bins: int = 32) -> float:
    """Return the recall in percent of the span that hits most moments of the same rank and number in training.

    Videos are lists of moments in shares of the duration, in the order of their starts; at most `n_bins` in each. Ranks
    that training lacks get the span that hits most of all moments there, of a grid up to the latest end or up to 1.
    """
    known: dict[tuple[int, int], list] = {}
    for video in train:
        for rank, moment in enumerate(video):
            known.setdefault((rank, len(video)), []).append(moment)
    everything = [moment for members in known.values() for moment in members]
    grid = [(i / n_bins, j / n_bins) for i in range(n_bins + 1) for j in range(i + 1, n_bins + 1)]
    latest = max(end for _, end in everything)
    constants = [(min(start * latest, 1.0), min(end * latest, 1.0)) for start, end in grid] + grid
    constant = max(constants, key=lambda span: plain_hits(span, everything, threshold))
    best = {
        place: max(grid, key=lambda span, members=members: plain_hits(span, members, threshold))
        for place, members in known.items()
    }
    n_hit = 0
    for video in test:
        for rank, moment in enumerate(video):
            n_hit += plain_hits(best.get((rank, len(video)), constant), [moment], threshold)
    return 100 * n_hit / sum(map(len, test))


def plain_recalls(rows: list[dict], rule: Rule, nms_threshold: float, thresholds: list[float]) -> dict[str, float]:
    """Return R1, R5 and mIoU in percent of rows with `gt` and `candidates` (start, end, score)."""
    found = []
    for row in rows:
        ranked = sorted(row["candidates"], key=lambda candidate: -candidate[2])
        spans = np.array([[candidate[:2] for candidate in ranked]])
        found += plain_ranked(spans, np.array([row["gt"]]), rule, nms_threshold)
    numbers = {"mIoU": 100 * float(np.mean([ious[0] for ious in found]))}
    for t in thresholds:
        bound = rule.dtype(t)
        for rank in (1, 5):
            hits = [any(iou > bound if rule.is_strict else iou >= bound for iou in ious[:rank]) for ious in found]
            numbers[f"R{rank}@{t}"] = 100 * float(np.mean(hits))
    return numbers


def plain_hirest_iou(first: list[float], second: list[float]) -> float:
    """Return the overlap of two spans as HiREST divides it."""
    overlap = max(0, min(first[1], second[1]) - max(first[0], second[0]))
    hull = max(first[1], second[1]) - min(first[0], second[0])
    return overlap / (min(hull, first[1] - first[0] + second[1] - second[0]) + 1e-8)


def plain_hirest_moments(predicted: dict, annotated: dict) -> dict[str, float]:
    """Return R@0.5 and R@0.7 in percent over the clippable videos of prompt -> file -> `bounds`."""
    ious = [
        plain_hirest_iou(predicted[prompt][name]["bounds"], entry["bounds"])
        for prompt, videos in annotated.items()
        for name, entry in videos.items()
        if entry["clip"]
    ]
    return {f"R@{t}": 100 * sum(iou >= t for iou in ious) / len(ious) for t in (0.5, 0.7)}


def plain_hirest_steps(predicted: dict, annotated: dict) -> dict[str, float]:
    """Return recall and precision in percent over videos of file -> list of steps."""
    numbers = {}
    for t in (0.5, 0.7):
        recalls, precisions = [], []
        for name, wanted in annotated.items():
            is_hit = [[plain_hirest_iou(step, other) > t for other in wanted] for step in predicted[name]]
            recalls.append(sum(any(row[i] for row in is_hit) for i in range(len(wanted))) / len(wanted))
            precisions.append(sum(map(any, is_hit)) / max(len(is_hit), 1))
        numbers |= {f"recall@{t}": 100 * float(np.mean(recalls)), f"precision@{t}": 100 * float(np.mean(precisions))}
    return numbers
