"""The store under everything that may happen to it: jobs, kills at any write, lost power, damage, repair, readers.

Whoever reads gets the rows from before, the rows from after or a named error; never a mixture, and no other error.
"""

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.unit.made_crashes import recorded, write_tree
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store import journal, shard_writing
from workflow_scripts.lib.store.atomic import json_text
from workflow_scripts.lib.store.digest import digest_json, file_sha256
from workflow_scripts.lib.store.feature_store import FeatureStore, write_index
from workflow_scripts.lib.store.journal import Journal
from workflow_scripts.lib.store.shard_job import FAILED, Computed, Wanted, row_key, update_shard
from workflow_scripts.lib.store.shard_store import StoreBeingRewritten, StoreDamaged, read_whole_shard
from workflow_scripts.lib.store.verification import failed_videos, repair_feature, verify_feature

IDS, RECIPE, DTYPE = "abcd", {"encoder": "made"}, "float16"
BROKEN = "broken file"
Contents = dict[str, int]
"""Id -> version of the video; 0 if its rows could not be computed."""


def rows_of(video_id: str, version: int) -> np.ndarray:
    """Return rows that tell what they were made from, each its place as well."""
    n_rows = 1 + 9 * IDS.index(video_id) + version
    return np.stack([np.full(n_rows, IDS.index(video_id)), np.full(n_rows, version), np.arange(n_rows)], axis=1)


def version_in(video_id: str, values: np.ndarray, times: np.ndarray, status: str, reason: str) -> int:
    """Return from which version rows were made; they have to be all of that version and no others."""
    if status == FAILED:
        assert reason == BROKEN
        assert len(values) == len(times) == 0
        return 0
    version = int(values[0, 1])
    assert np.array_equal(values, rows_of(video_id, version))
    assert np.array_equal(times, values[:, 1:])
    return version


def held(path: Path) -> Contents | None:
    """Return what a shard holds; None while it says that it is being written."""
    try:
        _, whole = read_whole_shard(path)
    except StoreBeingRewritten:
        return None
    places = {video.id: slice(video.start, video.stop) for video in whole.videos}
    return {
        video.id: version_in(
            video.id, whole.values[places[video.id]], whole.times[places[video.id]], video.status, video.reason
        )
        for video in whole.videos
    }


class Job:
    """One run of the job of a shard; notes what it was asked for and what it had finished."""

    def __init__(self, path: Path, wanted: Contents, failing: Iterable[str] = ()) -> None:
        self.path, self.wanted, self.failing = path, dict(wanted), set(failing)
        self.asked: list[str] = []
        self.finished: list[str] = []

    def run(self) -> None:
        wanted = [Wanted(video_id, f"{video_id} {version}") for video_id, version in self.wanted.items()]
        update_shard(self.path, wanted, RECIPE, DTYPE, None, self._compute, None)

    def _compute(self, ids: Iterable[str]) -> Iterator[Computed]:
        for video_id in ids:
            self.asked.append(video_id)
            if video_id in self.failing:
                yield Computed(video_id, np.zeros((0, 3)), np.zeros((0, 2)), FAILED, BROKEN)
                continue
            rows = rows_of(video_id, self.wanted[video_id])
            yield Computed(video_id, rows, rows[:, 1:])
            self.finished.append(video_id)


@pytest.mark.parametrize("exchange", [True, False])
def test_at_whatever_write_a_job_ends_the_rows_are_the_old_or_the_new_ones(tmp_path, exchange, monkeypatch):
    if not exchange:
        monkeypatch.setattr(shard_writing, "_exchange", lambda one, other: False)
    monkeypatch.setattr(journal, "SYNC_EVERY_S", 0)
    root = tmp_path / "features"
    path = root / "0000.zarr"
    Job(path, {"a": 1, "b": 1}).run()
    job = Job(path, {"a": 1, "b": 2, "c": 1, "d": 1}, failing="d")
    with recorded(root, lambda: len(job.finished)) as recording:
        job.run()
    old, new = {"a": 1, "b": 1}, {"a": 1, "b": 2, "c": 1, "d": 0}
    assert len(recording.trees) > 30
    seen = []
    for number, finished in enumerate(recording.counts):
        for state in (recording.killed, recording.torn, recording.lost):
            write_tree(root, state(number))
            found = held(path)
            assert found in ((old, new) if exchange else (old, new, None))
            if found != new:
                with Journal(path.with_suffix(".journal")) as kept:
                    keys = [row_key(f"{video_id} {job.wanted[video_id]}", RECIPE, DTYPE) for video_id in job.finished]
                    assert all(kept.get(key) is not None for key in keys[:finished])
            seen.append(found)
    assert old in seen
    assert new in seen


class StoreStates(RuleBasedStateMachine):
    """A feature of one shard, and what may be in it by what happened so far.

    Attributes
    ----------
    published : what the shard holds, None if that cannot be read
    kept : finished videos and their versions that the next run has to find; None if that is not known
    reader, indexed : a feature that is open since some time, and what it held then
    """

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp()) / "results" / "ds" / "features" / "made"
        self.path = self.root / "0000.zarr"
        self.wanted: Contents = {}
        self.failing: set[str] = set()
        self.published: Contents | None = None
        self.kept: set[tuple[str, int]] | None = set()
        self.is_damaged = False
        self.reader: FeatureStore | None = None
        self.indexed: Contents = {}
        self.n_looks = 0

    def teardown(self) -> None:
        shutil.rmtree(self.root.parents[3])

    def files(self) -> list[Path]:
        return sorted(path for path in self.path.rglob("*") if path.is_file())

    @initialize()
    def first_videos(self) -> None:
        self.wanted = {"a": 1, "b": 1}
        self.run(False)

    @rule(video_id=st.sampled_from(IDS), version=st.integers(1, 3))
    def add_or_replace(self, video_id: str, version: int) -> None:
        self.wanted[video_id] = version

    @rule(video_id=st.sampled_from(IDS))
    def remove(self, video_id: str) -> None:
        self.wanted.pop(video_id, None)

    @rule(video_id=st.sampled_from(IDS))
    def break_or_mend(self, video_id: str) -> None:
        self.failing ^= {video_id}

    @rule(is_deleted_first=st.booleans())
    def run(self, is_deleted_first: bool) -> None:
        if is_deleted_first:  # as Snakemake does with a declared output
            (self.path / "zarr.json").unlink(missing_ok=True)
        with self.checked_job() as job:
            job.run()
        found = held(self.path)
        assert found is not None
        assert found.keys() == self.wanted.keys()
        assert all(found[video_id] in (0, version) for video_id, version in self.wanted.items())
        assert {path.name for path in self.root.iterdir()} <= {self.path.name, "index.parquet"}
        self.published, self.is_damaged, self.kept = found, False, set()

    @contextlib.contextmanager
    def checked_job(self) -> Iterator[Job]:
        """Yield a job; nothing that is finished or lies in the shard is computed again, and what is new is computed."""
        has_journal = self.path.with_suffix(".journal").exists()
        job = Job(self.path, self.wanted, self.failing)
        yield job
        assert len(set(job.asked)) == len(job.asked)
        assert not {(video_id, self.wanted[video_id]) for video_id in job.asked} & (self.kept or set())
        if self.published is not None and not self.is_damaged:
            known = {video_id: self.published.get(video_id) for video_id in self.wanted}
            assert not {video_id for video_id in job.asked if known[video_id] == self.wanted[video_id]}
            new = {video_id for video_id in self.wanted if known[video_id] not in (0, self.wanted[video_id])}
            assert has_journal or new <= set(job.asked)

    @rule(
        where=st.floats(0, 1),
        how=st.sampled_from(["killed", "torn", "lost"]),
        share=st.floats(0, 1),
        sync_every_s=st.sampled_from([0.0, 1e9]),
    )
    def crash(self, where: float, how: str, share: float, sync_every_s: float) -> None:
        with self.checked_job() as job, pytest.MonkeyPatch.context() as patch:
            patch.setattr(journal, "SYNC_EVERY_S", sync_every_s)
            with recorded(self.root, lambda: len(job.finished), self.read_meanwhile) as recording:
                job.run()
        old, new = self.published, held(self.path)
        number = int(where * (len(recording.trees) - 1))
        write_tree(self.root, getattr(recording, how)(number, share))
        self.reader = None
        self.published = self.what_is_there()
        assert self.is_damaged or self.published in (old, new, None)
        finished = {(video_id, self.wanted[video_id]) for video_id in job.finished[: recording.counts[number]]}
        if self.published == new:
            self.kept = set()
        elif how == "lost" or self.kept is None:
            self.kept = None
        else:
            self.kept |= finished

    def what_is_there(self) -> Contents | None:
        try:
            return held(self.path)
        except StoreDamaged:
            assert self.is_damaged
            return None

    @precondition(lambda self: self.files())
    @rule(which=st.integers(0, 99), where=st.floats(0, 1), how=st.sampled_from(["flip", "cut", "zeros", "gone"]))
    def damage(self, which: int, where: float, how: str) -> None:
        path = self.files()[which % len(self.files())]
        data = path.read_bytes()
        place = int(where * max(0, len(data) - 1))
        changed = {
            "flip": data[:place] + bytes(byte ^ 0x10 for byte in data[place : place + 1]) + data[place + 1 :],
            "cut": data[:place],
            "zeros": bytes(len(data)),
        }
        path.unlink() if how == "gone" else path.write_bytes(changed[how])
        self.is_damaged = True
        self.read()
        assert self.published is None or self.what_is_there() in (self.published, None)

    @rule(tries_failed_again=st.booleans())
    def repair(self, tries_failed_again: bool) -> None:
        verified = verify_feature(self.root)
        if tries_failed_again:
            verified.problems += failed_videos(verified)
        repair_feature(verified)
        self.read()
        self.published = self.what_is_there()

    @precondition(lambda self: not self.is_damaged and (self.path / "zarr.json").is_file())
    @rule()
    def as_of_the_last_release(self) -> None:
        """The shard as before revisions were kept, and beside it finished videos as files of their own."""
        (self.root / "0000.parts" / "ab").mkdir(parents=True, exist_ok=True)
        (self.root / "0000.parts" / "ab" / "ab12.npz").write_bytes(b"x")
        metadata = json.loads((self.path / "zarr.json").read_text())
        metadata["attributes"].pop("code_revisions", None)
        (self.path / "zarr.json").write_text(json.dumps(metadata))
        body = json.loads((self.path / "index.json").read_text())
        for name in ("sha256", "code_revisions"):
            body.pop(name, None)
        body["metadata_sha256"] = file_sha256(self.path / "zarr.json")
        (self.path / "index.json").write_text(json_text(body | {"sha256": digest_json(body)}))
        assert held(self.path) == self.published

    @rule()
    def index(self) -> None:
        """The job of the index; the reader that is opened then lives on while the shard is replaced."""
        self.reader = None
        with contextlib.suppress(UserError):
            write_index([self.path], self.root / "index.parquet")
            reader = FeatureStore(self.root)
            self.indexed = {video_id: version_in(video_id, *reader[video_id]) for video_id in reader}
            assert self.is_damaged or self.indexed == self.published
            self.reader = reader

    @rule()
    def read(self) -> None:
        for _ in self.reader or ():
            self.read_meanwhile()

    def read_meanwhile(self) -> None:
        """Read one video; who has a feature open gets what it held then, or what its video gave at another try."""
        if not self.reader:
            return
        self.n_looks += 1
        video_id = list(self.reader)[self.n_looks % len(self.reader)]
        with contextlib.suppress(StoreBeingRewritten):
            try:
                found = version_in(video_id, *self.reader[video_id])
                assert found == self.indexed[video_id] or 0 in (found, self.indexed[video_id])
            except StoreDamaged:
                assert self.is_damaged


def run_states(n_examples: int, n_steps: int, **options) -> None:
    suppressed = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        StoreStates,
        settings=settings(
            max_examples=n_examples, stateful_step_count=n_steps, suppress_health_check=suppressed, **options
        ),
    )


def test_readers_get_old_rows_new_rows_or_a_named_error_for_100_steps():
    run_states(5, 20, derandomize=True)


@pytest.mark.slow
def test_readers_get_old_rows_new_rows_or_a_named_error_for_2000_steps():
    run_states(40, 50, print_blob=True)


@pytest.mark.slow
def test_a_hundred_killed_imports_are_finished_by_the_next_call():
    command = [sys.executable, "-m", "tests.benchmarks.kill_trials", "--imports", "--trials", "100"]
    done = subprocess.run(command, cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
