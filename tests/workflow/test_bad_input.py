"""Whatever is wrong with data, settings or disk ends in one readable message, and finished work stays as it is."""

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import imageio_ffmpeg
import pytest

from tests.unit.made_clips import make_clip
from tests.workflow.own_videos import (
    LIGHT_FEATURE,
    LIGHT_INDEX,
    MANIFEST,
    MOMENTS,
    QUERIES,
    dataset,
    own_videos,
    query,
    write_queries,
)
from tests.workflow.run_snakemake import Run, Workflow, wait_for_end
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.shards import shard_of
from workflow_scripts.lib.store.tables import read_table

pytestmark = pytest.mark.workflow

TMPFS_BYTES = 2 * 1024 * 1024
DEADLINE_S = 60


def the_error(run: Run) -> str:
    """The one message of a failed call, without what Snakemake says around it; no traceback may be among it."""
    assert run.status != 0
    assert "Traceback" not in run.output
    assert run.output.count("error: ") == 1, run.output
    return run.output.split("error: ")[1].split("\n=====")[0].strip()


def assert_no_job_started(run: Run) -> None:
    assert not run.rules


def finished_files(workflow: Workflow) -> dict[Path, bytes]:
    """All results by path; logs apart, which tell about failures too."""
    files = [path for path in workflow.results.rglob("*") if path.is_file() and "logs" not in path.parts]
    return {path: path.read_bytes() for path in files}


def assert_nothing_half_written(workflow: Workflow) -> None:
    assert [path for path in workflow.results.rglob("*") if ".tmp-" in path.name or ".old-" in path.name] == []


# Videos


def test_a_missing_video_folder_is_named_before_any_job_starts(tmp_path):
    workflow = own_videos(tmp_path, [query("a.mp4")], videos="nowhere/videos")
    run = workflow.run(MANIFEST)
    assert the_error(run).startswith("nowhere/videos: no such folder. Put the videos there, or change `videos`")
    assert_no_job_started(run)


@pytest.fixture(scope="module")
def bad_videos(tmp_path_factory):
    """A good video with a query of two moments, a missing one, one that is text; nothing has been run."""
    queries = [
        query("a.mp4", qid="q1", start=0, end=1),
        query("a.mp4", qid="q1", start=2, end=9),
        query("gone.mp4", start=0, end=1),
        query("gone.mp4"),
        query("text.mp4"),
    ]
    workflow = own_videos(tmp_path_factory.mktemp("bad"), queries)
    (workflow.folder / "videos/text.mp4").write_text("this is no video")
    return workflow


def test_bad_videos_are_all_listed_in_one_message_that_offers_to_skip_them(bad_videos):
    run = bad_videos.run(MANIFEST, QUERIES)
    message = the_error(run)
    assert message.startswith("2 of 3 videos cannot be used:")
    assert "  gone: missing (no gone.(mp4|" in message
    assert "  text: unreadable (Invalid data found" in message
    assert "set `on_bad_video: skip`" in message
    assert run.rules["import_annotations"] == 0
    assert not (bad_videos.results / MANIFEST).exists()
    assert len((bad_videos.results / "clips/media/problems.tsv").read_text().splitlines()) == 3
    assert_nothing_half_written(bad_videos)


def test_with_skip_the_good_videos_go_on_and_what_is_lost_is_counted(bad_videos):
    skipping = bad_videos.with_config({"datasets": {"clips": dataset(bad_videos.folder, on_bad_video="skip")}})
    skipping.finish(MANIFEST, QUERIES, LIGHT_INDEX)
    manifest = read_table(skipping.results / MANIFEST, ["video_id", "status"]).to_pylist()
    assert {row["video_id"]: row["status"] for row in manifest} == {"a": "ok", "gone": "missing", "text": "unreadable"}
    assert [row["video_id"] for row in read_table(skipping.results / QUERIES).to_pylist()] == ["a"]
    assert sorted(FeatureStore((skipping.results / LIGHT_INDEX).parent)) == ["a"]
    log = (skipping.results / "clips/logs/import_annotations.log").read_text()
    assert "left out: 2 queries of split test (video missing)" in log
    assert "left out: 1 queries of split test (video unreadable)" in log


def test_a_video_that_a_sampling_rule_cannot_use_is_failed_with_the_reason_and_tried_again_when_replaced(tmp_path):
    rule = {"rule": "windows", "rate": 10, "window": 8, "tail": "shift_back", "skip_last": True}
    queries = [query(f"{name}.mp4") for name in ("a", "short")]
    workflow = own_videos(tmp_path, queries, features={LIGHT_FEATURE: {"sampling": rule}}, n_shards=1)
    make_clip(tmp_path / "videos/short.mp4", n_frames=1)
    workflow.finish(LIGHT_INDEX)
    folder = (workflow.results / LIGHT_INDEX).parent
    found = FeatureStore(folder)
    assert {name: found[name].status for name in found} == {"a": "ok", "short": "failed"}
    assert "too short for its sampling rule: of 1 frame(s)" in found["short"].reason
    reasons = {row["id"]: row["reason"] for row in read_table(workflow.results / LIGHT_INDEX).to_pylist()}
    assert reasons == {"a": "", "short": found["short"].reason}
    make_clip(tmp_path / "videos/short.mp4", n_frames=20)
    workflow.finish(LIGHT_INDEX)
    assert workflow.reused_and_computed("clips", LIGHT_FEATURE)["0000"] == (1, 1)
    assert len(FeatureStore(folder)["short"].values) == 3


# Annotations


def test_an_empty_query_is_found_in_its_line(tmp_path):
    workflow = own_videos(tmp_path, [query("a.mp4"), query("a.mp4", "  ")])
    workflow.finish(MANIFEST)
    workflow.plan(QUERIES)
    before = finished_files(workflow)
    message = the_error(workflow.run(QUERIES))
    assert f"{tmp_path}/queries.jsonl:2 (clips/test/a#1): EmptyQuery: found '  '; expected words." in message
    assert "Write the query, or remove this entry." in message
    assert finished_files(workflow) == before


def test_a_span_past_the_end_is_kept_flagged_and_counted_or_refused_if_strict(tmp_path):
    workflow = own_videos(tmp_path, [query("a.mp4", start=1, end=99, duration=3.0), query("a.mp4", duration=3.0)])
    workflow.finish(MOMENTS)
    (moment,) = read_table(workflow.results / MOMENTS).to_pylist()
    assert (moment["end_s"], moment["flags"]) == (99.0, ["end_past_duration"])
    assert (
        "flagged: 1 moments end_past_duration" in (workflow.results / "clips/logs/import_annotations.log").read_text()
    )
    strict = workflow.with_config({**workflow.config, "strict_annotations": True})
    message = the_error(strict.run(MOMENTS))
    assert "queries.jsonl:1 (clips/test/a#0): SpanOutsideVideo: found the span 1.0 to 99.0 s" in message
    assert "Correct it, or" in message
    assert_nothing_half_written(workflow)


def test_annotations_that_are_refused_leave_the_old_tables_and_are_tried_again(tmp_path):
    workflow = own_videos(tmp_path, [query("a.mp4", duration=3.0)])
    workflow.finish(MOMENTS)
    before = finished_files(workflow)
    write_queries(workflow, [query("a.mp4", duration=3.0, start=1, end=99)])
    strict = workflow.with_config({**workflow.config, "strict_annotations": True})
    for _ in range(2):
        assert "SpanOutsideVideo" in the_error(strict.run(MOMENTS))
        now = finished_files(workflow)
        assert {path: now[path] for path in before if "annotations" in path.parts} == {
            path: content for path, content in before.items() if "annotations" in path.parts
        }
    assert workflow.finish(MOMENTS).rules == {"import_annotations": 1}
    assert read_table(workflow.results / MOMENTS).num_rows == 1
    assert workflow.run(MOMENTS).is_nothing_to_do
    assert_nothing_half_written(workflow)


def test_a_line_that_is_no_json_is_named_before_any_job_starts(tmp_path):
    workflow = own_videos(tmp_path, [query("a.mp4")])
    with (tmp_path / "queries.jsonl").open("a") as file:
        file.write("{video: a}\n")
    run = workflow.run(MANIFEST)
    assert f"{tmp_path}/queries.jsonl:2: BadSourceFile: found no JSON at column 2" in the_error(run)
    assert_no_job_started(run)


# Settings


@pytest.mark.parametrize(
    ("target", "config", "message"),
    [
        ("clisp/media/manifest.parquet", {}, "unknown dataset 'clisp'; did you mean \"clips\"? Known: "),
        ("demo/features/clip_tinny/index.parquet", {}, "unknown feature 'clip_tinny'; did you mean \"clip_tiny\"? "),
        ("demo/imgg/metrics.json", {}, "unknown system 'imgg'; did you mean \"img\"? Known: "),
        ("demo/img/metrics.json", {"devise": "cpu"}, '--config: devise: unknown key; did you mean "device"? Known: '),
        (
            "demo/img/metrics.json",
            {"datasets": {"demo": {"generate": {"trian": 5}}}},
            '--config: datasets.demo: generate.trian: unknown key; did you mean "train"? Known: ',
        ),
        (
            "demo/features/clip_tiny/index.parquet",
            {"features": {"clip_tiny": {"runtime": {"batch_size": "many"}}}},
            "--config: features.clip_tiny: runtime.batch_size: input should be a valid integer",
        ),
        (
            "demo/img/metrics.json",
            {"systems": {"img": {"streams": {"visual": {"names": ["clip_tinny"]}}}}},
            "unknown feature 'clip_tinny'; did you mean",
        ),
    ],
)
def test_a_mistake_in_the_settings_is_named_with_its_place_and_the_nearest_name(tmp_path, target, config, message):
    run = Workflow(tmp_path, config).run(target)
    assert message in the_error(run)
    assert_no_job_started(run)
    assert not (tmp_path / "results/demo/source").exists()


# Disk


def test_a_folder_without_write_permission_is_named_with_the_remedy(tmp_path):
    workflow = own_videos(tmp_path, [query("a.mp4")])
    workflow.obeys_permissions = True
    remedy = "Give this user access to it, or work in a folder of your own (--directory)."
    tmp_path.chmod(0o555)
    run = workflow.run(MANIFEST)
    tmp_path.chmod(0o755)
    assert the_error(run) == f"no permission for {tmp_path}. {remedy}"
    workflow.results.mkdir(mode=0o555)
    run = workflow.run(MANIFEST)
    assert the_error(run) == f"no permission for results/clips. {remedy}"
    assert_no_job_started(run)
    workflow.results.chmod(0o755)


def test_a_job_without_write_permission_says_for_what_and_goes_on_once_it_has_it(tmp_path):
    workflow = own_videos(tmp_path, [query("a.mp4")])
    workflow.obeys_permissions = True
    workflow.finish(MANIFEST)
    locked = workflow.results / "clips/annotations"
    locked.mkdir()
    (locked / "notes.txt").write_text("about these annotations")
    workflow.plan(QUERIES)
    before = finished_files(workflow)
    locked.chmod(0o555)
    message = the_error(workflow.run(QUERIES))
    assert message.startswith("no permission for results/clips/annotations/videos.parquet. Give this user access")
    assert finished_files(workflow) == before
    locked.chmod(0o755)
    assert workflow.run(QUERIES).rules == {"import_annotations": 1}


@pytest.fixture
def small_disk(tmp_path):
    """A folder `work` whose `results` are a file system of their own, of 2 MB."""
    results = tmp_path / "work/results"
    results.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(results)]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small file system can be mounted here: {getattr(error, 'stderr', '') or error}")
    yield results.parent
    subprocess.run(["umount", str(results)], check=True)


def fill(path: Path, leave_bytes: int = 0) -> None:
    """Take up all space of a file system but this much."""
    free = os.statvfs(path.parent)
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_bsize - leave_bytes)


def test_a_full_disk_is_reported_and_the_work_goes_on_once_there_is_space(small_disk):
    workflow = own_videos(small_disk, [query("a.mp4")], n_shards=1)
    workflow.finish(MANIFEST)
    assert workflow.plan(LIGHT_INDEX).status == 0
    filler = workflow.results / "filler"
    fill(filler)
    before = finished_files(workflow)
    run = workflow.run(LIGHT_INDEX)
    assert f"no disk space left while writing {workflow.results}. Free some space" in the_error(run)
    filler.unlink()
    before.pop(filler)
    assert finished_files(workflow) == before
    fill(filler, leave_bytes=16 * 1024)
    run = workflow.run(LIGHT_INDEX)
    assert run.status != 0
    assert f"error: no disk space left while writing results/clips/features/{LIGHT_FEATURE}/0000." in run.output
    assert_nothing_half_written(workflow)
    filler.unlink()
    done = workflow.finish(LIGHT_INDEX)
    assert "sample_frames" not in done.rules
    assert sorted(FeatureStore((workflow.results / LIGHT_INDEX).parent)) == ["a"]


# Other jobs and other people


def wait_for(condition, process) -> None:
    started = time.monotonic()
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() - started < DEADLINE_S
        time.sleep(0.02)


def test_a_second_workflow_in_the_same_folder_is_turned_away_and_the_first_is_unharmed(tmp_path):
    workflow = own_videos(tmp_path, [query("a.mp4"), query("c.mp4")], ["a.mp4", "c.mp4"])
    other = {LIGHT_FEATURE: {"params": {"bins": 8}}}
    second = workflow.with_config({"datasets": {"clips": dataset(tmp_path, features=other)}})
    first = workflow.start(LIGHT_INDEX)
    wait_for(lambda: any((tmp_path / ".snakemake/locks").glob("*.lock")), first)
    os.killpg(first.pid, signal.SIGSTOP)
    before = finished_files(workflow)
    try:
        run = second.run(LIGHT_INDEX)
        assert run.status != 0
        assert "Directory cannot be locked. Please make sure that no other Snakemake process" in run.output
        assert "--unlock" in run.output
        assert_no_job_started(run)
        assert finished_files(workflow) == before
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    done = wait_for_end(first)
    assert done.status == 0, done.output
    store = FeatureStore((workflow.results / LIGHT_INDEX).parent)
    assert store.recipe["params"]["bins"] == 16
    assert sorted(store) == ["a", "c"]


def test_a_killed_job_costs_its_own_shard_only(tmp_path):
    names = ["a", "b", "c", "d"]
    assert [shard_of(name, 2) for name in names] == [0, 0, 1, 1]
    workflow = own_videos(tmp_path, [query(f"{name}.mp4") for name in names], [f"{name}.mp4" for name in names])
    killer = tmp_path / "ffmpeg"
    ffmpeg = shlex.quote(imageio_ffmpeg.get_ffmpeg_exe())
    killer.write_text(f'#!/bin/sh\ncase "$*" in *c.mp4*) kill -9 $PPID;; esac\nexec {ffmpeg} "$@"\n')
    killer.chmod(0o755)
    decoded_by_it = {"rgb_histogram": {"runtime": {"decoder": "ffmpeg"}}}
    changed = {**workflow.config, "paths": {"ffmpeg": str(killer)}, "features": decoded_by_it}
    run = workflow.with_config(changed).run(LIGHT_INDEX)
    assert run.status != 0
    assert "Error in rule extract_visual" in run.output
    shards = (workflow.results / LIGHT_INDEX).parent
    assert (shards / "0000.zarr/zarr.json").is_file()
    assert not (shards / "0001.zarr/zarr.json").exists()
    assert not (workflow.results / LIGHT_INDEX).exists()
    again = workflow.finish(LIGHT_INDEX)
    assert again.rules == {"extract_visual": 1, "index_features": 1}
    assert sorted(FeatureStore(shards)) == names
    assert_nothing_half_written(workflow)
