"""Cases of the localisers of `zero_shot`: `threshold_merge.json`; `segments.json` with `segments.safetensors`."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from models.systems.zero_shot.config import Segments, ThresholdMerge
from models.systems.zero_shot.segments import frame_scores, ranked, segment_spans
from models.systems.zero_shot.threshold_merge import merged_spans, saliency
from tests.parity.harness import Check, has_files

MERGING = "threshold_merge.json"
SEGMENTS = ("segments.json", "segments.safetensors")
OPTIONS = {
    "cand_num": "spans",
    "gamma": "gamma",
    "kmeans_k": "clusters",
    "prior": "longest",
    "stride": "stride",
    "temporal_window_size": "smoothing",
    "window_radius": "window",
}
"""Stored name of an option -> ours."""
MIN_SCORE = 0.2
"""Published for the rows of BLIP-2, which those of the cases stand for."""
SCORE_TOLERANCE = 1e-6
SEGMENTS_TOLERANCE = 1e-4
"""Of seconds and scores: the published k-means runs in float32 and in another order of sums."""


def claims(folder: Path) -> bool:
    """Return whether the folder has cases of one of the localisers."""
    return has_files(folder, MERGING) or has_files(folder, *SEGMENTS)


def checks(folder: Path) -> list[Check]:
    """Return one check per case."""
    found = []
    if has_files(folder, MERGING):
        found += [
            Check(f"threshold-merge-{number}", partial(check_merging, case))
            for number, case in enumerate(json.loads((folder / MERGING).read_text())["cases"])
        ]
    if has_files(folder, *SEGMENTS):
        tensors = load_file(folder / SEGMENTS[1])
        for case in json.loads((folder / SEGMENTS[0]).read_text())["cases"]:
            own = {name: tensors[f"{case['case']}.{name}"] for name in ("rows", "query", "scores")}
            found.append(Check(f"segments-{case['case']}", partial(check_segments, case, own)))
    return found


def check_merging(case: dict[str, Any], data_path: Path | None) -> None:
    scores = np.array(case["scores"], dtype=np.float32)
    spans = merged_spans(scores, ThresholdMerge(**case["options"]))
    windows = np.array(case["windows"])
    np.testing.assert_array_equal(spans[:, :2] * case["clip_s"], windows[:, :2])
    np.testing.assert_allclose(spans[:, 2], windows[:, 2], rtol=0, atol=SCORE_TOLERANCE)
    np.testing.assert_allclose(saliency(scores), case["saliency"], rtol=0, atol=SCORE_TOLERANCE)


def check_segments(case: dict[str, Any], tensors: dict[str, np.ndarray], data_path: Path | None) -> None:
    options = {OPTIONS[name]: value for name, value in case["options"].items()}
    [query] = tensors["query"]
    near = partial(np.testing.assert_allclose, rtol=0, atol=SEGMENTS_TOLERANCE)
    near(frame_scores(tensors["rows"], query)[0], tensors["scores"].reshape(-1))
    spans = segment_spans(tensors["rows"], query, Segments(min_score=MIN_SCORE, **options))
    spans[:, :2] *= case["duration_s"] / len(tensors["rows"])
    near(spans, case["proposals"])
    near(_settled(ranked(spans)), _settled(np.array(case["ranked"])))


def _settled(spans: np.ndarray) -> np.ndarray:
    """Return ranked spans with neighbours of equal times by score: the published sort is not stable."""
    is_new = (abs(np.diff(spans[:, :2], axis=0)) > SEGMENTS_TOLERANCE).any(axis=1)
    order = np.lexsort((-spans[:, 2], np.concatenate([[0], np.cumsum(is_new)])))
    return spans[order]
