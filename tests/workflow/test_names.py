"""Blanks, quotes and apostrophes in the names of folders and files: of the checkout, the results and the data."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.made_clips import make_clip
from tests.workflow.own_videos import LIGHT_INDEX, QUERIES, query, write_queries
from tests.workflow.run_snakemake import Workflow
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.tables import read_table

pytestmark = pytest.mark.workflow

PLACE = "it's a place"
VIDEOS = 'the "videos" & $(more)'
FILE = "a 'list'=1.jsonl"
CLIP = 'it\'s_"a"_clip(1)'


def test_everything_works_in_a_checkout_and_on_data_of_any_name(tmp_path):
    folder = tmp_path / PLACE
    (folder / VIDEOS).mkdir(parents=True)
    clips = {
        "videos": VIDEOS,
        "annotations": {"files": {"test": FILE}},
        "downloads": {},
        "on_bad_video": "fail",
        "n_shards": 1,
    }
    workflow = Workflow(folder, {"datasets": {"clips": clips}})
    workflow.copy_code()
    # The environment lies in the checkout, as `make setup` has it.
    (folder / ".venv").symlink_to(Path(sys.executable).parent.parent)
    make_clip(folder / VIDEOS / f"{CLIP}.mp4", n_frames=30)
    write_queries(workflow, [query(f"{CLIP}.mp4", start=0, end=1)])
    (folder / "queries.jsonl").rename(folder / FILE)

    command = [str(folder / ".venv/bin/python"), "-m", "snakemake", *workflow.options]
    command += ["--", f"results/{LIGHT_INDEX}", f"results/{QUERIES}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert [row["video_id"] for row in read_table(workflow.results / QUERIES).to_pylist()] == [CLIP]
    root = (workflow.results / LIGHT_INDEX).parent
    assert FeatureStore(root)[CLIP].status == "ok"

    # What a rule ran can be pasted into a terminal.
    (shown,) = re.findall(r"^Shell command: (python -m workflow_scripts\.import_annotations .*)$", output, re.MULTILINE)
    table = workflow.results / QUERIES
    before = table.read_bytes()
    table.unlink()
    environment = os.environ | {"PYTHONPATH": str(folder / "code"), "PATH": f"{folder}/.venv/bin:{os.environ['PATH']}"}
    subprocess.run(["bash", "-c", shown], cwd=folder, env=environment, check=True)
    assert table.read_bytes() == before
