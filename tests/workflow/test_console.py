"""What a call prints: a short view, or every job if that is asked for; the log holds everything."""

import pytest

from tests.unit.made_clips import make_clip
from tests.workflow.own_videos import LIGHT_INDEX, MANIFEST, QUERIES, own_videos, query
from tests.workflow.run_snakemake import Workflow, wait_for_end
from tests.workflow.test_bad_input import the_error

pytestmark = pytest.mark.workflow

NAMES = "abc"


def call(workflow, *targets, options=()):
    """Call as a person does: nothing said about what is printed, and no terminal."""
    command = workflow.command(*targets)
    command.remove("--printshellcmds")
    command[1:1] = options
    return wait_for_end(workflow.start_command(command))


def everything_logged(workflow):
    return "".join(path.read_text() for path in (workflow.folder / ".snakemake/log").iterdir())


@pytest.fixture
def clips(tmp_path):
    """Three clips in three shards."""
    return own_videos(tmp_path, [query(f"{name}.mp4") for name in NAMES], [f"{name}.mp4" for name in NAMES], n_shards=3)


def test_a_normal_call_is_short_and_the_log_has_the_commands_and_reasons(clips):
    run = call(clips, MANIFEST, QUERIES)
    assert run.status == 0, run.output
    lines = [line for line in run.output.splitlines() if not line.startswith(("Using ", "Config file"))]
    assert lines[0] == "5 jobs: 3 probe_media, 1 collect_manifest, 1 import_annotations"
    assert [line.partition(":")[0] for line in lines[1:-1]] == [
        "3 probe_media",
        "collect_manifest clips",
        "import_annotations clips",
    ]
    assert lines[-1].startswith("5 jobs done in ")
    logged = everything_logged(clips)
    assert logged.count("Shell command: python -m workflow_scripts.") == 5
    assert logged.count("reason: ") == 5
    assert call(clips, MANIFEST, QUERIES).is_nothing_to_do


def test_whoever_asks_for_more_gets_every_job(clips):
    assert call(clips, MANIFEST, options=("--printshellcmds",)).rules == {"probe_media": 3, "collect_manifest": 1}
    assert call(clips, QUERIES, options=("--verbose",)).rules == {"import_annotations": 1}
    assert call(clips, LIGHT_INDEX, options=("--dry-run",)).rules["extract_visual"] == 3


def test_a_failed_call_ends_with_what_failed_and_why(clips):
    (clips.folder / "videos/c.mp4").write_text("no video")
    run = call(clips, MANIFEST)
    assert run.status != 0
    assert "failed: collect_manifest clips\n  the end of results/clips/logs/collect_manifest.log:\n" in run.output
    *_, summary, listed = run.output.splitlines()
    assert summary.startswith("1 job failed, 3 done, 0 not started, in ")
    assert listed.startswith("  collect_manifest clips: 1 of 3 videos cannot be used:")
    assert listed.endswith("(results/clips/logs/collect_manifest.log)")
    make_clip(clips.folder / "videos/c.mp4", n_frames=30)
    assert call(clips, MANIFEST).status == 0


def test_an_unknown_target_is_answered_with_the_nearest_one(tmp_path):
    workflow, wrong, right = Workflow(tmp_path), "clip/media/manifest.parket", "clips/media/manifest.parquet"
    for run in (workflow.run(wrong), workflow.plan(wrong)):
        assert the_error(run) == f"results/{wrong}: no such target; did you mean results/{right}?"
