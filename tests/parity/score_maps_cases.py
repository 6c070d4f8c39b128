"""Cases of 2-D score maps: `NAME.safetensors`, `NAME.videos.json`, `NAME.expected.json`."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.parity.harness import Check, has_files
from tests.parity.metric_cases import (
    EXPECTED,
    SINGLE,
    assert_equal_numbers,
    case_file,
    case_names,
    judge,
    read_json,
)
from tests.score_maps import MapScores, VideoMaps, evaluate


def claims(folder: Path) -> bool:
    """Return whether the folder has score maps with a list of their videos."""
    return has_files(folder, "*.videos.json*", f"*{EXPECTED}", "*.safetensors")


def checks(folder: Path) -> list[Check]:
    """Return one check per file of maps."""
    return [Check(name, partial(check_case, folder, name)) for name in case_names(folder)]


def check_case(folder: Path, name: str, data_path: Path | None) -> None:
    expected = read_json(folder / f"{name}{EXPECTED}")
    tensors = load_file(folder / f"{name}.safetensors")
    videos = [
        VideoMaps(
            video["vid"],
            video["duration"],
            video["sentences"],
            *(tensors.get(f"{video['index']:03d}.{kind}", np.zeros(0)) for kind in ("contrastive", "iou", "moments")),
        )
        for video in read_json(case_file(folder, name, ".videos.json"))
    ]
    official = {key: expected.get(key, {}) for key in ("metrics_fraction", "mmn_metrics_fraction")}
    thresholds = {
        key: sorted({float(match[1]) for metric in numbers if (match := re.search(r"IoU@(.+)", metric))})
        for key, numbers in official.items()
    }
    settings = (expected["contrastive_score_pow"], expected["nms_threshold"])

    def run(key: str) -> MapScores:
        return evaluate(videos, *settings, thresholds[key] or (0.3, 0.5, 0.7), **expected.get("options", {}))

    scores = judge(expected, lambda: run("metrics_fraction"), {video.video_id for video in videos})
    if scores is None:
        return
    close = {"rel": 0.0, "absolute": SINGLE}
    assert_equal_numbers(scores.official, official["metrics_fraction"], **close)
    if official["mmn_metrics_fraction"]:
        assert_equal_numbers(run("mmn_metrics_fraction").official, official["mmn_metrics_fraction"], **close)
    if "results_json_order" in expected:
        assert list(scores.results) == expected["results_json_order"]
    if "results_json" in expected:
        check_results(scores.results, expected["results_json"])


def check_results(found: dict, expected: dict) -> None:
    assert list(found) == list(expected)
    for video_id, entry in expected.items():
        assert found[video_id].keys() == entry.keys()
        for key, value in entry.items():
            if key in ("gt_moments", "pred_moments"):
                for span, wanted in zip(found[video_id][key], value, strict=True):
                    assert span == pytest.approx(wanted, rel=0, abs=SINGLE), video_id
            elif key == "pred_scores":
                assert found[video_id][key] == pytest.approx(value, rel=0, abs=SINGLE), video_id
            else:
                assert found[video_id][key] == value, video_id
