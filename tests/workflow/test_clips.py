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
    """The four videos that the queries are about: the real ones of --data, else the shipped one and stand-ins."""
    folder = tmp_path_factory.mktemp("videos")
    given = request.config.getoption("--data")
    for name in sorted({query["video"] for query in asked_queries()}):
        real = given / "videos" / name if given else SHIPPED.with_name(name)
        if real.is_file():
            shutil.copy2(real, folder / name)
        else:
            stand_in(folder / name, LONGEST_S)
    return folder


@pytest.fixture(scope="module")
def clips(demo, videos, tmp_path_factory):
    """The demo's folder in which the clips have been run, and that run."""
    overrides = {"videos": str(videos), "annotations": {"files": {"test": str(QUERIES)}}}
    settings = {"datasets": {"demo": TINY_DEMO, "clips": overrides}}
    workflow = demo.workflow.with_config(settings).copy(tmp_path_factory.mktemp("clips") / "work")
    run = workflow.run("clips/img/report.html")
    assert run.status == 0, run.output
    return workflow, run


def test_the_demos_checkpoint_answers_every_query_of_the_clips(clips):
    workflow, run = clips
    assert "train" not in run.rules
    assert run.rules["extract_visual"] == run.rules["extract_audio"] == run.rules["extract_text"] == 1
    metrics = json.loads((workflow.results / "clips/img/metrics.json").read_text())
    queries = asked_queries()
    assert metrics["counts"] == {"queries": len(queries), "evaluated": len(queries), "skipped": {}}
    assert metrics["provenance"]["checkpoint"]["dataset"] == "demo"
    assert metrics["groups"] == metrics["ablations"] == {}


def test_the_report_shows_a_timeline_for_every_query_of_the_clips(clips):
    workflow, _ = clips
    report = (workflow.results / "clips/img/report.html").read_text()
    for video, n_queries in Counter(query["video"] for query in asked_queries()).items():
        part = report.split(f"<h3>{video.removesuffix('.mp4')} ")[1].split("<h3>")[0]
        assert part.count('class="query"') == part.count('class="annotated"') == n_queries
    assert "<h2>Training</h2>" not in report


def test_a_touched_video_is_looked_at_again_and_nothing_is_computed(clips):
    workflow, _ = clips
    folder = Path(workflow.config["datasets"]["clips"]["videos"])
    os.utime(folder / SHIPPED.name)
    again = workflow.run("clips/img/metrics.json")
    assert again.status == 0, again.output
    assert again.rules["probe_media"] == 1
    n_videos = len(list(folder.iterdir()))
    expected = dict(zip(EXTRACTION, (n_videos, n_videos, len(asked_queries())), strict=True))
    for feature, n_rows in expected.items():
        assert workflow.reused_and_computed("clips", feature) in ({"0000": (n_rows, 0)}, {"0000": (0, n_rows)})
        if feature in ("clip_tiny", "cnn14_tiny"):
            assert workflow.reused_and_computed("clips", feature)["0000"] == (n_rows, 0)
