"""One's own videos: the queries of config/datasets/clips.yaml, answered with the demo's checkpoint."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.unit.made_clips import make_clip
from tests.workflow.conftest import TINY_DEMO
from tests.workflow.run_snakemake import ROOT

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("demo_run")]

SHIPPED = ROOT / "tests/data/videos/bigbuckbunny.mp4"
QUERIES = ROOT / "tests/data/clips/queries.jsonl"
SILENT = "bikes.mp4"
LONGEST_S = 20
LOST_QUERIES = [
    {"video": "gone.mp4", "query": "a query without video", "start": 0.0, "end": 1.0},
    {"video": "gone.mp4", "query": "another one"},
    {"video": "text.mp4", "query": "a query about a file that is no video"},
]
EXTRACTION = ("clip_tiny", "cnn14_tiny", "minilm_tokens")


def asked_queries() -> list[dict]:
    return [json.loads(line) for line in QUERIES.read_text().splitlines()]


def stand_in(path: Path, seconds: int) -> None:
    """Make a short video; all but one have a tone."""
    rate = 16000
    tone = (8000 * np.sin(np.arange(seconds * rate) * 0.2)).astype(np.int16)[None]
    make_clip(path, n_frames=10 * seconds, sound=None if path.name == SILENT else (0.0, tone), sample_rate=rate)


@pytest.fixture(scope="module")
def videos(request, tmp_path_factory):
    """The four videos that the queries are about, the real ones of --data or else one and stand-ins; and a text."""
    folder = tmp_path_factory.mktemp("videos")
    given = request.config.getoption("--data")
    for name in sorted({query["video"] for query in asked_queries()}):
        real = given / "videos" / name if given else SHIPPED.with_name(name)
        if real.is_file():
            shutil.copy2(real, folder / name)
        else:
            stand_in(folder / name, LONGEST_S)
    (folder / "text.mp4").write_text("this is no video")
    return folder


@pytest.fixture(scope="module")
def clips(demo, videos, tmp_path_factory):
    """The demo's folder in which the clips have been run, and that run."""
    queries = tmp_path_factory.mktemp("queries") / "queries.jsonl"
    queries.write_text(QUERIES.read_text() + "".join(json.dumps(query) + "\n" for query in LOST_QUERIES))
    overrides = {"videos": str(videos), "annotations": {"files": {"test": str(queries)}}}
    settings = {"datasets": {"demo": TINY_DEMO, "clips": overrides}}
    workflow = demo.workflow.with_config(settings).copy(tmp_path_factory.mktemp("clips") / "work")
    run = workflow.finish("clips/img/report.html")
    return workflow, run


def test_the_demos_checkpoint_answers_every_query_whose_video_can_be_used(clips):
    workflow, run = clips
    assert "train" not in run.rules
    assert run.rules["extract_visual"] == run.rules["extract_audio"] == run.rules["extract_text"] == 1
    metrics = json.loads((workflow.results / "clips/img/metrics.json").read_text())
    n_answered = len(asked_queries())
    assert metrics["counts"] == {
        "queries": n_answered + len(LOST_QUERIES),
        "evaluated": n_answered,
        "skipped": {"video missing": 2, "video unreadable": 1},
    }
    assert f"{n_answered} of {n_answered + 3} queries scored; 2 video missing, 1 video unreadable" in run.output
    assert metrics["provenance"]["checkpoint"]["dataset"] == "demo"
    assert metrics["groups"] == metrics["ablations"] == {}


def test_the_report_shows_a_timeline_for_every_query_of_the_clips(clips):
    workflow, _ = clips
    report = (workflow.results / "clips/img/report.html").read_text()
    for video, n_queries in Counter(query["video"] for query in asked_queries()).items():
        part = report.split(f"<h3>{video.removesuffix('.mp4')} ")[1].split("<h3>")[0]
        assert part.count('class="query"') == part.count('class="annotated"') == n_queries
    assert "Left out: 2 (video missing)." in report
    assert "<h2>Training</h2>" not in report


def test_touched_videos_are_looked_at_again_and_nothing_is_computed(clips, videos):
    workflow, _ = clips
    for video in videos.iterdir():
        os.utime(video)
    again = workflow.finish(*(f"clips/features/{name}/index.parquet" for name in EXTRACTION))
    assert again.rules["probe_media"] == 1
    n_videos = len({query["video"] for query in asked_queries()})
    for feature, n_known in zip(EXTRACTION, (n_videos, n_videos, len(asked_queries())), strict=True):
        assert again.rules["extract_text"] == again.rules["extract_visual"] == again.rules["extract_audio"] == 1
        assert workflow.reused_and_computed("clips", feature) == {"0000": (n_known, 0)}
