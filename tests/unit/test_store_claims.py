"""Two jobs on one cache share the work; a job that died leaves nothing that stops others."""

import errno
import os
import stat
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.lib.store import claims as claims_module
from workflow_scripts.lib.store.atomic import HOST
from workflow_scripts.lib.store.claims import DEAD_AFTER_S, Claims
from workflow_scripts.lib.store.shard_job import Computed, Wanted, update_shard
from workflow_scripts.lib.store.shard_store import read_whole_shard

ROOT = Path(__file__).resolve().parents[2]
KEY = "ab" + "0" * 62
NO_PROCESS = 2**22 + 1


def lay_claim(folder: Path, owner: str, age_s: float = 0.0) -> Path:
    path = folder / KEY[:2] / f"{KEY}.claim"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(owner)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_a_key_is_claimed_once_and_free_again_when_it_is_released(tmp_path):
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        assert one.take(KEY)
        assert not other.take(KEY)
        one.release(KEY)
        assert other.take(KEY)
    assert list(tmp_path.rglob("*.claim")) == []


def test_a_claim_is_never_without_its_owner(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "hardlink_to", killed)
    with Claims(tmp_path) as claims, pytest.raises(KeyboardInterrupt):
        claims.take(KEY)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_system_without_links_costs_claims_and_no_work(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        assert one.take(KEY)
        assert other.take(KEY)
        one.release(KEY)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_without_a_shared_cache_nothing_is_claimed(tmp_path):
    with Claims(None) as claims:
        assert claims.take(KEY)
        claims.release(KEY)


@pytest.mark.parametrize(
    ("owner", "age_s", "is_free"),
    [
        (f"{HOST} {NO_PROCESS}", 0.0, True),
        (f"{HOST} {os.getpid()}", 0.0, False),
        ("another-node 17", 0.0, False),
        ("another-node 17", DEAD_AFTER_S + 60, True),
        ("", 0.0, False),
        ("", DEAD_AFTER_S + 60, True),
    ],
    ids=["dead here", "alive here", "fresh elsewhere", "old elsewhere", "nobody", "nobody for long"],
)
def test_only_the_claim_of_a_dead_job_is_taken_over(tmp_path, owner, age_s, is_free):
    lay_claim(tmp_path, owner, age_s)
    with Claims(tmp_path) as claims:
        assert claims.take(KEY) == is_free


def test_a_long_job_renews_its_claims(tmp_path, monkeypatch):
    monkeypatch.setattr(claims_module, "RENEW_EVERY_S", 0.05)
    with Claims(tmp_path) as claims:
        claims.take(KEY)
        path = tmp_path / KEY[:2] / f"{KEY}.claim"
        os.utime(path, (1, 1))
        end = time.monotonic() + 10
        while path.stat().st_mtime < 2 and time.monotonic() < end:
            time.sleep(0.02)
        assert path.stat().st_mtime > 2


def test_the_claims_of_a_groups_cache_can_be_taken_over_by_the_group(tmp_path):
    before = os.umask(0o002)
    try:
        with Claims(tmp_path) as claims:
            claims.take(KEY)
            assert (tmp_path / KEY[:2]).stat().st_mode & stat.S_IWGRP
    finally:
        os.umask(before)


WANTED = [Wanted(f"v{number:02}", f"content {number}") for number in range(12)]


def slow_encoder(asked: list[str]):
    def compute(ids):
        for video_id in ids:
            asked.append(video_id)
            time.sleep(0.03)
            yield Computed(video_id, np.full((2, 4), float(video_id[1:])), np.zeros((2, 2)))

    return compute


def test_two_jobs_at_once_share_the_work_and_both_have_all_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("workflow_scripts.lib.store.shard_job._ASK_AGAIN_S", 0.02)
    asked: list[list[str]] = [[], []]
    stores = [tmp_path / name / "0000.zarr" for name in ("one", "other")]

    def work(number: int) -> None:
        encoder = slow_encoder(asked[number])
        update_shard(stores[number], WANTED, {"r": 1}, "float16", None, encoder, tmp_path / "cache")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(asked[0] + asked[1]) == [video.id for video in WANTED]
    assert min(map(len, asked)) > 0
    first, second = (read_whole_shard(store)[1] for store in stores)
    np.testing.assert_array_equal(first.values, second.values)
    assert [video.status for video in first.videos] == ["ok"] * len(WANTED)
    assert list(tmp_path.rglob("*.claim")) == []


KILLED_JOB = """
    import sys, time
    from pathlib import Path
    from tests.unit.test_store_claims import WANTED, slow_encoder
    from workflow_scripts.lib.store.shard_job import update_shard

    def compute(ids):
        for computed in slow_encoder([])(ids):
            yield computed
            print(computed.id, flush=True)

    update_shard(Path(sys.argv[1]), WANTED, {"r": 1}, "float16", None, compute, Path(sys.argv[2]))
"""


def test_what_a_killed_job_had_claimed_is_computed_by_the_next(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(KILLED_JOB), str(tmp_path / "0000.zarr"), str(tmp_path / "cache")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as job:
        finished = [job.stdout.readline().strip() for _ in range(3)]
        job.kill()
    asked: list[str] = []
    update_shard(tmp_path / "0000.zarr", WANTED, {"r": 1}, "float16", None, slow_encoder(asked), tmp_path / "cache")
    assert not set(asked) & set(finished)
    assert len(asked) >= len(WANTED) - 5
    assert list(tmp_path.rglob("*.claim")) == []


def test_a_video_that_another_job_failed_on_is_tried_here(tmp_path):
    def failing(ids):
        for video_id in ids:
            yield Computed(video_id, np.zeros((0, 4)), np.zeros((0, 2)), "failed", "broken file")

    update_shard(tmp_path / "one.zarr", WANTED, {"r": 1}, "float16", None, failing, tmp_path / "cache")
    asked: list[str] = []
    update_shard(tmp_path / "two.zarr", WANTED, {"r": 1}, "float16", None, slow_encoder(asked), tmp_path / "cache")
    assert len(asked) == len(WANTED)
