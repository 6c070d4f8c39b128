"""One's own videos: the queries of config/datasets/clips.yaml, answered with the demo's checkpoint."""

import json
import os
from collections import Counter

import pytest

from tests.report_pages import data_of
from tests.workflow.conftest import LOST_QUERIES, asked_queries

pytestmark = pytest.mark.workflow

EXTRACTION = ("clip_tiny", "cnn14_tiny", "minilm_tokens")


def test_the_demos_checkpoint_answers_every_query_whose_video_can_be_used(clips):
    assert "train" not in clips.run.rules
    assert all(clips.run.rules[rule] == 1 for rule in ("extract_visual", "extract_audio", "extract_text", "predict"))
    metrics = json.loads((clips.workflow.results / "clips/img/metrics.json").read_text())
    n_answered = len(asked_queries())
    counts = {
        "queries": n_answered + len(LOST_QUERIES),
        "evaluated": n_answered,
        "skipped": {"video missing": 2, "video unreadable": 1},
    }
    without = {"audio: no_audio": 5}
    assert metrics["counts"] == counts | {"unreadable": 0, "without": without, "tasks": {"moments": counts}}
    assert f"{n_answered} of {n_answered + 3} queries scored; 2 video missing, 1 video unreadable" in clips.run.output
    assert metrics["provenance"]["checkpoint"]["dataset"] == "demo"
    assert metrics["groups"] == metrics["ablations"] == {}


def test_the_report_shows_a_timeline_for_every_query_of_the_clips(clips):
    report = (clips.workflow.results / "clips/img/report.html").read_text()
    answered = [entry for entry in data_of(report)["entries"] if "not asked" not in entry["outcome"]]
    assert all(entry["predicted"][0] and entry["annotated"] for entry in answered)
    asked = Counter(query["video"].removesuffix(".mp4") for query in asked_queries())
    assert Counter(entry["video"] for entry in answered) == asked
    assert "Left out: 2 (video missing)." in report
    assert ">Training</h2>" not in report


def test_touched_videos_are_looked_at_again_and_nothing_is_computed(clips, tmp_path):
    touched = clips.copy(tmp_path)
    for video in (touched.folder / "videos").iterdir():
        os.utime(video)
    again = touched.finish(*(f"clips/features/{name}/index.parquet" for name in EXTRACTION))
    assert again.rules["probe_media"] == again.rules["extract_visual"] == again.rules["extract_audio"] == 1
    n_videos = len({query["video"] for query in asked_queries()})
    for feature, n_known in zip(EXTRACTION, (n_videos, n_videos, len(asked_queries())), strict=True):
        assert touched.reused_and_computed("clips", feature) == {"0000": (n_known, 0)}
