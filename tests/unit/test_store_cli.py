"""`python -m workflow_scripts.store`: what is there, whether it is whole, repair, and other forms."""

import pickle
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.unit.forked import run_forked
from tests.unit.made_features import LENGTHS, RECIPE, content, make_feature, read_by
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.batches import marker_path
from workflow_scripts.lib.store.export import LAYOUTS, ExportForm, export_feature
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.id_patterns import QUERY_COLUMNS
from workflow_scripts.lib.store.item_ids import file_of
from workflow_scripts.lib.store.shard_job import Computed, Wanted, update_shard
from workflow_scripts.lib.store.tables import read_table, write_table
from workflow_scripts.lib.store.verification import repair_feature, verify_feature

ROOT = Path(__file__).resolve().parents[2]
DIM = 16


@pytest.fixture(params=["ours", "zarr"])
def pipeline(request):
    with read_by(request.param):
        yield request.param


@pytest.fixture
def root(tmp_path):
    return make_feature(tmp_path / "results" / "ds" / "features" / "clip")


def cli(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return run_forked("store", *arguments, cwd=folder, env={})


def flip(path: Path, position: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * position)] ^= 0x10
    path.write_bytes(bytes(data))


def features_file(shard: Path) -> Path:
    return next(path for path in (shard / "features" / "c").rglob("*") if path.is_file())


def test_ls_and_show_tell_what_is_there(root):
    listed = cli(root.parents[3], "ls")
    assert (listed.returncode, listed.stderr) == (0, "")
    line = listed.stdout.splitlines()[1].split()
    assert line[:6] == ["ds", "clip", "2", "5", "116", str(DIM)]
    assert "no_audio 1, ok 4" in listed.stdout
    assert '"encoder": "clip"' in cli(root.parents[3], "show", "ds/clip").stdout
    assert "70 x 16" in cli(root.parents[3], "show", "ds/clip", "b").stdout
    assert "no_audio: silent" in cli(root.parents[3], "show", str(root), "silent").stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["ls", "nowhere"], "nowhere"), (["show", "ds/clp"], "ds/clip"), (["show", "ds/clip", "z"], "'z'")],
)
def test_an_unknown_name_ends_with_one_line_and_status_2(root, arguments, named):
    ended = cli(root.parents[3], *arguments)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("n_sampled", [None, 3, 100])
def test_a_whole_feature_verifies(root, pipeline, n_sampled):
    verified = verify_feature(root, n_sampled)
    assert verified.problems == []
    assert (verified.n_shards, verified.n_videos) == (2, 5 if n_sampled != 3 else 3)


def test_a_flipped_byte_is_found_named_and_repaired_without_computing_the_others(root, pipeline):
    flip(features_file(root / "0000.zarr"), 0.1)
    found = {(problem.where, problem.id) for problem in verify_feature(root).problems}
    assert found == {("0000.zarr", "a")}, "the first chunk holds rows of `a` alone"
    assert {problem.id for problem in verify_feature(root, 100).problems} == {"a"}
    command = " ".join(repair_feature(verify_feature(root)))
    assert "results/ds/features/clip/0000.zarr/zarr.json results/ds/features/clip/index.parquet" in command
    assert not (root / "0000.zarr" / "zarr.json").exists()
    assert not np.isnan(FeatureStore(root)["e"].values).any()
    computed = run_job_again(root)
    assert computed == ["a"]


def test_a_shard_of_a_batch_is_asked_for_by_its_index_whatever_the_size_of_batches(root, pipeline):
    others = marker_path(root, "0001-0001")
    for marker in (marker_path(root, "0000-0000"), marker_path(root, "0000-0001"), others):
        write_json(marker, {"shards": {}})
    flip(features_file(root / "0000.zarr"), 0.1)
    command = repair_feature(verify_feature(root))
    assert command[-2:] == ["--", "results/ds/features/clip/index.parquet"]
    assert list((root / "batches").iterdir()) == [others]
    assert run_job_again(root) == ["a"]


def run_job_again(root: Path) -> list[str]:
    """Run the job of shard 0000, whose keys are those of `make_feature`, and return what it computed."""
    computed = []

    def compute(missing):
        for video_id in missing:
            computed.append(video_id)
            yield Computed(video_id, np.zeros((2, DIM)), np.zeros((2, 2)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workflow_scripts.lib.store.shard_job.row_key", lambda digest, recipe, dtype: digest)
        wanted = [Wanted(video_id, f"key-{video_id}") for video_id in LENGTHS]
        update_shard(root / "0000.zarr", wanted, RECIPE, "float16", DIM, compute, None)
    return computed


def test_every_byte_of_a_shard_is_watched(root, pipeline):
    files = [path for path in (root / "0001.zarr").rglob("*") if path.is_file() and path.stat().st_size]
    for path in files:
        if path.name == "zarr.json" and path.parent.name != "0001.zarr":
            continue  # zarr.json of the shard holds it too, and that one is read
        whole = path.read_bytes()
        for position in (0.05, 0.5, 0.95):
            flip(path, position)
            problems = verify_feature(root).problems
            assert problems, f"{path.relative_to(root)} at {position}"
            assert all(problem.where == "0001.zarr" for problem in problems)
            path.write_bytes(whole)
    assert verify_feature(root).problems == []


@pytest.mark.parametrize(
    "lost", ["features/c", "features/zarr.json", "timestamps/c", "offsets/c", "index.json", "zarr.json"]
)
def test_a_missing_file_is_found_and_only_its_shard_is_made_again(root, pipeline, lost):
    path = root / "0000.zarr" / lost
    for file in [path] if path.is_file() else [found for found in path.rglob("*") if found.is_file()]:
        file.unlink()
    verified = verify_feature(root)
    assert {problem.where for problem in verified.problems} == {"0000.zarr"}
    command = " ".join(repair_feature(verified))
    assert "0000.zarr/zarr.json" in command
    assert "0001.zarr" not in command
    assert not (root / "0000.zarr" / "zarr.json").exists()


def test_a_swapped_chunk_file_of_another_generation_takes_all_of_the_shard_out(root, pipeline):
    other = make_feature(root.parents[1] / "features" / "other")
    from workflow_scripts.lib.store.shard_writing import publish_shard

    publish_shard(other / "0000.zarr", content(LENGTHS, seed=9), RECIPE)
    features_file(root / "0000.zarr").write_bytes(features_file(other / "0000.zarr").read_bytes())
    problem = verify_feature(root).problems[0]
    assert (problem.where, problem.id) == ("0000.zarr", None)
    repair_feature(verify_feature(root))
    assert run_job_again(root) == sorted(LENGTHS)


def test_an_index_that_disagrees_is_named_and_taken_out_alone(root):
    table = read_table(root / "index.parquet")
    rows = [row | ({"key": "other"} if row["id"] == "b" else {}) for row in table.to_pylist() if row["id"] != "e"]
    notes = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    write_table(root / "index.parquet", pa.Table.from_pylist(rows, table.schema), notes)
    verified = verify_feature(root)
    assert {(problem.where, problem.id) for problem in verified.problems} == {("0000.zarr", "b"), ("0001.zarr", "e")}
    assert " ".join(repair_feature(verified)).endswith("-- results/ds/features/clip/index.parquet")
    assert not (root / "index.parquet").exists()
    assert (root / "0001.zarr" / "zarr.json").exists()


def test_verify_ends_with_status_1_and_repair_prints_the_command(root):
    assert cli(root.parents[3], "verify", "ds/clip").returncode == 0
    assert "Taken out" not in cli(root.parents[3], "repair", "ds/clip").stdout
    flip(features_file(root / "0001.zarr"), 0.1)
    ended = cli(root.parents[3], "verify", "ds/clip")
    assert ended.returncode == 1
    assert "0001.zarr\te\t" in ended.stdout
    repaired = cli(root.parents[3], "repair", "ds/clip")
    assert repaired.returncode == 0
    assert "snakemake --cores all -- results/ds/features/clip/0001.zarr/zarr.json" in repaired.stdout


READERS = {
    "npy": lambda out, name: np.load(out / f"{name}.npy"),
    "npz": lambda out, name: np.load(out / f"{name}.npz")["features"],
    "pt": lambda out, name: torch.load(out / f"{name}.pt", weights_only=True).numpy(),
    "h5": lambda out, name: h5py.File(out / f"{name}.h5")["feature"][:],
    "hdf5": lambda out, name: h5py.File(out)[name][:],
    "pickle": lambda out, name: pickle.loads(out.read_bytes())[name],
}


def test_every_layout_is_read_back_below():
    assert READERS.keys() == LAYOUTS.keys()


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_an_export_holds_the_rows_as_published_loaders_read_them(root, tmp_path, layout):
    counts = export_feature(root, tmp_path / "out", ExportForm(layout))
    assert counts == {"ok": 4, "no_audio": 1}
    back = READERS[layout](tmp_path / "out", "b")
    assert back.dtype == np.float32
    assert np.array_equal(back, FeatureStore(root)["b"].values)
    with pytest.raises((OSError, KeyError)):
        READERS[layout](tmp_path / "out", "silent")


def name_videos(root, names):
    """Write the tables that an export takes names from."""
    videos = [{"video_id": v, "source_video_id": name, "youtube_id": None} for v, name in names.items()]
    queries = {name: pa.array([], pa.string()) for name in QUERY_COLUMNS}
    write_table(root.parents[1] / "annotations" / "videos.parquet", pa.Table.from_pylist(videos))
    write_table(root.parents[1] / "annotations" / "queries.parquet", pa.table(queries))


def test_an_export_writes_names_of_any_form_or_says_that_the_layout_cannot(root, tmp_path):
    ids = list(FeatureStore(root))
    names = dict(zip(ids, ["it's/one", "two", "two/three", "視" * 84, "five"], strict=True))
    name_videos(root, names)
    export_feature(root, tmp_path / "out", ExportForm("npy", name="{source_video_id}"))
    for video_id, name in names.items():
        values = FeatureStore(root)[video_id].values
        if len(values):
            assert np.array_equal(np.load(file_of(tmp_path / "out", name, ".npy")), values)
    with pytest.raises(UserError, match=r"'two/three' cannot be written .*a name cannot also be a folder of others"):
        export_feature(root, tmp_path / "all.hdf5", ExportForm("hdf5", name="{source_video_id}"))


def test_an_export_takes_names_from_the_annotations_and_refuses_equal_ones(root, tmp_path):
    name_videos(root, {video_id: f"{video_id}.mp4" for video_id in FeatureStore(root)})
    form = ExportForm("pt", name="{source_video_id}", dtype="float16", has_spatial_axes=True)
    export_feature(root, tmp_path / "out", form)
    back = torch.load(tmp_path / "out" / "b.mp4.pt", weights_only=True)
    assert (back.shape, back.dtype) == ((70, 1, 1, DIM), torch.float16)
    for pattern in ("same", "{youtube_id}", "{nothing}", "../{id}"):
        with pytest.raises(UserError, match=r"name pattern|--name"):
            export_feature(root, tmp_path / "bad", ExportForm("npy", name=pattern))
