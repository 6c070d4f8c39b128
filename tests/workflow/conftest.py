"""Runs that are made once for all tests and all test processes; a test that runs anything works on a copy."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.unit.made_clips import make_clip
from tests.workflow.own_videos import (
    LIGHT_FEATURE,
    LIGHT_INDEX,
    QUERIES,
    SECOND_FEATURE,
    SECOND_INDEX,
    light_settings,
    own_videos,
    query,
)
from tests.workflow.run_snakemake import ROOT, Run, Workflow

TARGETS = ("demo/img/metrics.json", "demo/img/report.html")
TINY_DEMO = {
    "generate": {"train": 6, "val": 2, "test": 2},
    "n_shards": 2,
    "systems": {"img": {"settings": {"train": {"epochs": 1}}}},
}

SHIPPED_QUERIES = ROOT / "tests/data/clips/queries.jsonl"
LOST_QUERIES = [
    {"video": "gone.mp4", "query": "a query without video", "start": 0.0, "end": 1.0},
    {"video": "gone.mp4", "query": "another one"},
    {"video": "text.mp4", "query": "a query about a file that is no video"},
]
SILENT = "bikes.mp4"
STAND_IN_S = 20
"""Seconds; the annotated moments of the shipped queries end before."""


@dataclass(frozen=True)
class FinishedRun:
    """A folder in which everything is done, not to be changed, and the call that did it."""

    workflow: Workflow
    run: Run

    def copy(self, folder: Path, config: dict | None = None) -> Workflow:
        """Return a copy to work in, under the same settings or others."""
        copied = self.workflow.copy(folder / "copy")
        return copied if config is None else copied.with_config(config)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Make a run unless another test process has made it, or is making it: then wait and take that one."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make(name: str, prepare: Callable[[Path], Workflow], *targets: str) -> FinishedRun:
        folder, record = shared / name, shared / f"{name}.json"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not record.is_file():
                workflow = prepare(folder)
                run = workflow.run(*targets)
                record.write_text(json.dumps({"run": asdict(run), "config": workflow.config}))
        made = json.loads(record.read_text())
        run = Run(**made["run"])
        assert run.status == 0, run.output
        return FinishedRun(Workflow(folder, made["config"]), run)

    return make


@pytest.fixture(scope="session")
def demo(made_once):
    """The tiny demo, finished."""

    def prepare(folder: Path) -> Workflow:
        folder.mkdir()
        return Workflow(folder, {"datasets": {"demo": TINY_DEMO}})

    return made_once("demo", prepare, *TARGETS)


@pytest.fixture(scope="session")
def clips(demo, made_once, request):
    """The dataset `clips`, finished in a copy of the demo's folder; its videos are in `videos/`.

    The four videos that the shipped queries are about are the real ones of --data, else the shipped one and stand-ins.
    Of two more videos, one is missing and one is text.
    """

    def prepare(folder: Path) -> Workflow:
        workflow = demo.workflow.copy(folder)
        lost = "".join(json.dumps(query) + "\n" for query in LOST_QUERIES)
        (folder / "queries.jsonl").write_text(SHIPPED_QUERIES.read_text() + lost)
        (folder / "videos").mkdir()
        (folder / "videos/text.mp4").write_text("this is no video")
        data = request.config.getoption("--data")
        for name in sorted({asked["video"] for asked in asked_queries()}):
            places = [ROOT / "tests/data/videos" / name, *([data / "videos" / name] if data else [])]
            real = next((path for path in places if path.is_file()), None)
            if real:
                shutil.copy2(real, folder / "videos" / name)
            else:
                make_stand_in(folder / "videos" / name)
        own = {"videos": "videos", "annotations": {"files": {"test": "queries.jsonl"}}}
        return workflow.with_config({"datasets": {"demo": TINY_DEMO, "clips": own}})

    return made_once("clips", prepare, "clips/img/report.html")


@pytest.fixture(scope="session")
def light(made_once):
    """Four clips in two shards and two features, finished; the code lies in the folder and has a second encoder."""

    def prepare(folder: Path) -> Workflow:
        folder.mkdir()
        queries = [query(f"{name}.mp4") for name in "abcd"]
        workflow = own_videos(folder, queries, [f"{name}.mp4" for name in "abcd"]).with_config(light_settings())
        code = workflow.copy_code()
        encoders = code / "models/encoders"
        shutil.copy(encoders / f"{LIGHT_FEATURE}.py", encoders / f"{SECOND_FEATURE}.py")
        described = (code / "config/features/rgb_histogram.yaml").read_text()
        changed = described.replace("encoder: rgb_histogram", f"encoder: {SECOND_FEATURE}")
        (code / f"config/features/{SECOND_FEATURE}.yaml").write_text(changed)
        return workflow

    return made_once("light", prepare, LIGHT_INDEX, SECOND_INDEX, QUERIES)


def asked_queries() -> list[dict]:
    """Return the shipped queries about clips, one per moment."""
    return [json.loads(line) for line in SHIPPED_QUERIES.read_text().splitlines()]


def make_stand_in(path: Path) -> None:
    """Make a video of 20 s; all but one have a tone."""
    rate = 16000
    tone = (8000 * np.sin(np.arange(STAND_IN_S * rate) * 0.2)).astype(np.int16)[None]
    sound = None if path.name == SILENT else (0.0, tone)
    make_clip(path, n_frames=10 * STAND_IN_S, sound=sound, sample_rate=rate)
