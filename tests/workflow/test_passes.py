"""Several features from one pass over the videos: what runs, what runs again, and the rows of jobs of their own."""

import pytest

from tests.workflow.own_videos import (
    LIGHT_FEATURE,
    LIGHT_INDEX,
    SECOND_FEATURE,
    SECOND_INDEX,
    add_clip,
    light_settings,
    own_videos,
    query,
    rows_of,
    write_queries,
)
from tests.workflow.run_snakemake import Workflow
from workflow_scripts.lib.store.shards import shard_of
from workflow_scripts.lib.store.verification import verify_feature

pytestmark = pytest.mark.workflow

NAMES = "abcd"
BOTH = (LIGHT_INDEX, SECOND_INDEX)
PASS = f"{SECOND_FEATURE}+{LIGHT_FEATURE}"


def two_features(folder, **root) -> Workflow:
    """Return the workflow with a second feature that sees more frames of the same videos."""
    workflow = own_videos(folder, [query(f"{name}.mp4") for name in NAMES[:-1]], [f"{n}.mp4" for n in NAMES[:-1]])
    features = workflow.copy_code() / "config/features"
    described = (features / f"{LIGHT_FEATURE}.yaml").read_text()
    (features / f"{SECOND_FEATURE}.yaml").write_text(described.replace("rate: 2", "rate: 5"))
    return workflow.with_config(light_settings(**root))


def test_features_of_one_pass(tmp_path):
    """From nothing to two features; then one that changes, a video that is added, and a shard that is damaged."""
    (tmp_path / "apart").mkdir()
    (tmp_path / "together").mkdir()
    apart = two_features(tmp_path / "apart", one_pass="never")
    assert apart.finish(*BOTH).rules["extract_pass"] == 0
    workflow = two_features(tmp_path / "together", one_pass="always")
    made = workflow.finish(*BOTH)
    assert f"decoded once for {SECOND_FEATURE} and {LIGHT_FEATURE}" in made.output
    extracted = {rule: n for rule, n in made.rules.items() if rule.startswith("extract") or rule == "index_features"}
    assert extracted == {"extract_pass": 2, "index_features": 2}
    assert made.rules["sample_frames"] == 0
    for index in BOTH:
        assert rows_of(workflow, index) == rows_of(apart, index)
    assert len(rows_of(workflow, LIGHT_INDEX)) == 3
    assert workflow.plan(*BOTH).is_nothing_to_do
    # What is made stays made, whatever is chosen for features to come.
    assert workflow.with_config(light_settings(one_pass="never")).plan(*BOTH).is_nothing_to_do

    changed = light_settings(feature={"params": {"bins": 8}}, one_pass="always")
    workflow = workflow.with_config(changed)
    again = workflow.finish(*BOTH)
    assert again.rules == {"sample_frames": 2, "extract_visual_batch": 2, "index_features": 1}
    assert all(LIGHT_FEATURE in path or path.startswith("frames/") for path in again.outputs)
    assert workflow.reused_and_computed("clips", LIGHT_FEATURE) == {"0000-0000": (0, 2), "0001-0001": (0, 1)}
    assert workflow.plan(*BOTH).is_nothing_to_do

    add_clip(workflow, f"{NAMES[-1]}.mp4")
    write_queries(workflow, [query(f"{name}.mp4") for name in NAMES])
    touched = f"{shard_of(NAMES[-1], 2):04d}"
    added = workflow.finish(*BOTH)
    assert (added.rules["extract_pass"], added.rules["extract_visual_batch"]) == (1, 1)
    assert f"passes/{PASS}/{touched}-{touched}.json" in added.outputs
    log = (workflow.results / f"clips/logs/passes/{PASS}/{touched}-{touched}.log").read_text()
    assert "1 computed; 0 failed" in log
    assert LIGHT_FEATURE not in log
    for index in BOTH:
        assert set(rows_of(workflow, index)) == set(NAMES)

    whole = rows_of(workflow, SECOND_INDEX)
    root = (workflow.results / SECOND_INDEX).parent
    chunk = root / "0000.zarr/features/c/0/0"
    chunk.write_bytes(bytes(reversed(chunk.read_bytes())))
    repaired = workflow.store_command("repair", f"clips/{SECOND_FEATURE}", "--run", *workflow.options)
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert f"-- results/clips/features/{SECOND_FEATURE}/index.parquet" in repaired.stdout
    assert verify_feature(root).problems == []
    assert rows_of(workflow, SECOND_INDEX) == whole
    assert workflow.plan(*BOTH).is_nothing_to_do


@pytest.mark.parametrize("one_pass", ["never", "always"])
def test_a_comparison_is_planned_from_nothing(tmp_path, one_pass):
    """Its inputs are two indices, in whose folders the jobs behind them look for settings."""
    workflow = two_features(tmp_path, one_pass=one_pass)
    planned = workflow.plan(f"clips/compare/{LIGHT_FEATURE}__{SECOND_FEATURE}.html")
    assert planned.status == 0, planned.output
    assert planned.rules["compare_features"] == 1
    assert (planned.rules["extract_pass"], planned.rules["extract_visual"]) == (
        (2, 0) if one_pass == "always" else (0, 4)
    )


def test_a_network_that_cannot_be_loaded_does_not_keep_the_other_feature(tmp_path):
    workflow = two_features(tmp_path, one_pass="always")
    described, encoders = workflow.code / f"config/features/{SECOND_FEATURE}.yaml", workflow.code / "models/encoders"
    described.write_text(described.read_text().replace("encoder: rgb_histogram", f"encoder: {SECOND_FEATURE}"))
    broken = "from workflow_scripts.lib.errors import UserError\n\n\ndef load(*_):\n    raise UserError('no weights')\n"
    whole = (encoders / f"{LIGHT_FEATURE}.py").read_text()
    (encoders / f"{SECOND_FEATURE}.py").write_text(f"{whole}\n\n{broken}")
    failed = workflow.run(*BOTH)
    assert failed.status != 0
    assert f"{SECOND_FEATURE}: no weights" in failed.output
    # The rows of the other are there already; once the pass is given up, they are only tied together.
    alone = workflow.with_config(light_settings(one_pass="never"))
    finished = alone.finish(LIGHT_INDEX)
    assert finished.rules["extract_pass"] == 0
    assert len(rows_of(workflow, LIGHT_INDEX)) == 3
    logs = [path.read_text() for path in (workflow.results / "clips/logs" / LIGHT_FEATURE).glob("[0-9]*.log")]
    assert len(logs) == finished.rules["extract_visual_batch"] == 2
    assert all("nothing to do" in log for log in logs)
