"""Published feature files become a store: every layout, only what changed, nothing executed, what is missing told."""

import logging
import pickle
import sys
from pathlib import Path

import h5py
import lmdb
import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml

from tests.unit.made_settings import feature_options
from workflow_scripts import import_features, report_import
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.imports import import_times
from workflow_scripts.lib.extraction.settings import feature_settings
from workflow_scripts.lib.foreign.pickles import unpickle
from workflow_scripts.lib.store.feature_files import UnreadableFile, open_source
from workflow_scripts.lib.store.feature_store import FeatureStore, write_index
from workflow_scripts.lib.store.id_patterns import QUERY_COLUMNS
from workflow_scripts.lib.store.tables import write_table

DIM = 6
LENGTHS = {"a": 10, "b": 3, "c": 20}
QUERY_NAMES = pa.schema([(name, pa.int64() if name == "ordinal" else pa.string()) for name in QUERY_COLUMNS])


def rows_of(video_id: str) -> np.ndarray:
    return np.random.default_rng(ord(video_id)).standard_normal((LENGTHS[video_id], DIM)).astype(np.float32)


def write_npy(folder: Path, video_id: str, values: np.ndarray) -> None:
    np.save(folder / f"{video_id}.npy", values)


def write_npz(folder: Path, video_id: str, values: np.ndarray) -> None:
    np.savez(folder / f"{video_id}.npz", features=values, other=values[:1])


def write_pt(folder: Path, video_id: str, values: np.ndarray) -> None:
    torch.save(torch.from_numpy(values), folder / f"{video_id}.pt")


def write_h5(folder: Path, video_id: str, values: np.ndarray) -> None:
    with h5py.File(folder / f"{video_id}.h5", "w") as file:
        file["feature"] = values


def write_one_h5(folder: Path, video_id: str, values: np.ndarray) -> None:
    with h5py.File(folder / "all.hdf5", "a") as file:
        file[f"{video_id}/c3d_features"] = values


def write_pickle(folder: Path, video_id: str, values: np.ndarray) -> None:
    path = folder / "all.pickle"
    path.write_bytes(pickle.dumps((pickle.loads(path.read_bytes()) if path.exists() else {}) | {video_id: values}))


def write_lmdb(folder: Path, video_id: str, values: np.ndarray) -> None:
    np.save(folder / "one.npy", values)
    with lmdb.open(str(folder / "db")) as file, file.begin(write=True) as transaction:
        transaction.put(video_id.encode(), (folder / "one.npy").read_bytes())


FORMS = {
    "npy": (write_npy, {"layout": "npy", "id_pattern": "{video_id}.npy"}, ""),
    "npz": (write_npz, {"layout": "npz", "id_pattern": "{video_id}.npz", "key": "features"}, ""),
    "pt": (write_pt, {"layout": "pt", "id_pattern": "{video_id}.pt"}, ""),
    "h5": (write_h5, {"layout": "hdf5", "id_pattern": "{video_id}.h5"}, ""),
    "one hdf5": (write_one_h5, {"layout": "hdf5", "id_pattern": "{video_id}", "key": "c3d_features"}, "all.hdf5"),
    "pickle": (write_pickle, {"layout": "pickle_dict", "id_pattern": "{video_id}"}, "all.pickle"),
    "lmdb": (write_lmdb, {"layout": "lmdb", "id_pattern": "{video_id}"}, "db"),
}


class Project:
    """A config folder with one imported feature, annotation tables, and the job of one shard."""

    def __init__(self, folder: Path, **settings) -> None:
        self.folder, self.config, self.source = folder, folder / "config", folder / "files"
        self.feature = folder / "results" / "ds" / "features" / "published"
        for path in (self.config / "features", self.config / "datasets", self.source, self.feature):
            path.mkdir(parents=True)
        dataset = {"title": "t", "videos": "v", "annotations": {"format": "plain", "files": {"test": "x"}}}
        (self.config / "datasets" / "ds.yaml").write_text(yaml.safe_dump(dataset))
        common = {"description": "d", "kind": "visual", "source": "import", "times": 2.0, "store_dtype": "float32"}
        self.settings = common | settings
        self.table = folder / "results" / "ds" / "annotations" / "videos.parquet"
        self.videos({video_id: 2.0 * n for video_id, n in LENGTHS.items()})

    def videos(self, durations: dict[str, float]) -> None:
        rows = [
            {"video_id": v, "source_video_id": v, "youtube_id": None, "duration_s": d} for v, d in durations.items()
        ]
        write_table(self.table, pa.Table.from_pylist(rows))

    def configuration(self) -> Configuration:
        (self.config / "features" / "published.yaml").write_text(yaml.safe_dump(self.settings))
        return Configuration({}, self.config)

    def run(self, monkeypatch) -> FeatureStore:
        settings = feature_settings(self.configuration(), "ds", "published")
        known = feature_options(self.feature / "settings.json", settings)
        arguments = {
            "--rows-of": self.table,
            "--shard": "0000",
            "--n-shards": 1,
            "--store": self.feature / "0000.zarr",
            "--report": self.feature / "0000.import.tsv",
        }
        command = [str(word) for pair in arguments.items() for word in pair]
        monkeypatch.setattr(sys, "argv", ["import_features", *known, *command])
        import_features.main()
        write_index([self.feature / "0000.zarr"], self.feature / "index.parquet")
        return FeatureStore(self.feature)

    def report(self) -> dict[str, list[str]]:
        lines = (self.feature / "0000.import.tsv").read_text().splitlines()[1:]
        return {line.split("\t")[0]: line.split("\t")[1:] for line in lines}


def project(folder: Path, form: str = "npy", ids: str = "abc", **settings) -> Project:
    write, keys, inside = FORMS[form]
    made = Project(folder, **keys, path=str(folder / "files" / inside), **settings)
    for video_id in ids:
        write(made.source, video_id, rows_of(video_id))
    return made


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_layout_comes_back_with_times(tmp_path, monkeypatch, form):
    store = project(tmp_path, form).run(monkeypatch)
    for video_id, length in LENGTHS.items():
        assert np.array_equal(store[video_id].values, rows_of(video_id))
        assert np.array_equal(store[video_id].times[:, 1], 2.0 * np.arange(1, length + 1))
        assert store[video_id].status == "ok"
    assert "path" not in store.recipe


@pytest.mark.parametrize("form", sorted(FORMS))
def test_only_a_replaced_or_added_file_is_read_again(tmp_path, monkeypatch, form, caplog):
    made = project(tmp_path, form, ids="ab")
    store = made.run(monkeypatch)
    assert store["c"].status == "failed"
    assert store["c"].reason.startswith("missing")
    FORMS[form][0](made.source, "c", rows_of("c"))
    with caplog.at_level(logging.INFO):
        store = made.run(monkeypatch)
        assert "3 videos, 2 known, 1 to compute" in caplog.text
        caplog.clear()
        made.run(monkeypatch)
        assert "3 videos, 3 known, 0 to compute" in caplog.text
    assert np.array_equal(store["c"].values, rows_of("c"))


def test_imported_rows_are_not_copied_into_the_cache(tmp_path):
    made = project(tmp_path)
    made.configuration()
    cached = Configuration({"paths": {"feature_cache": "cache"}}, made.config)
    assert feature_settings(cached, "ds", "published")["feature_cache"] is None


def test_a_moved_source_is_not_read_again(tmp_path, monkeypatch, caplog):
    made = project(tmp_path)
    made.run(monkeypatch)
    made.source.rename(tmp_path / "moved")
    made.settings["path"] = str(tmp_path / "moved")
    with caplog.at_level(logging.INFO):
        made.run(monkeypatch)
    assert "0 to compute" in caplog.text


def test_the_report_says_what_is_missing_unreadable_or_of_another_length(tmp_path, monkeypatch):
    made = project(tmp_path, ids="ab")
    made.videos({"a": 200.0, "b": 6.0, "c": 1.0, "d": 1.0})
    (made.source / "d.npy").write_bytes(b"\x93NUMPY broken")
    store = made.run(monkeypatch)
    report = made.report()
    assert {video_id: line[1] for video_id, line in report.items()} == {
        "a": "wrong length",
        "b": "ok",
        "c": "missing",
        "d": "unreadable",
    }
    assert "10 rows of 2 s for 200.000 s (-180.000 s)" in report["a"][-1]
    assert [store[v].status for v in "abcd"] == ["ok", "ok", "failed", "failed"]
    monkeypatch.setattr(sys, "argv", ["x", "--out", str(tmp_path / "r.tsv"), str(made.feature / "0000.import.tsv")])
    report_import.main()
    assert len((tmp_path / "r.tsv").read_text().splitlines()) == 5


def test_a_wrong_length_can_be_a_failure(tmp_path, monkeypatch):
    made = project(tmp_path, on_wrong_length="fail", tolerance_s=1.0)
    made.videos({"a": 200.0, "b": 6.5})
    store = made.run(monkeypatch)
    assert store["a"].reason.startswith("wrong length: 10 rows")
    assert store["b"].status == "ok"
    assert made.report()["a"][1] == "wrong length"


@pytest.mark.parametrize(
    ("times", "found"), [(2.0, "90000 rows of 2 s are 180,000 s"), ("proportional", "90000 rows for 6")]
)
def test_more_rows_than_anybody_makes_of_a_video_cost_that_video(tmp_path, monkeypatch, times, found):
    made = project(tmp_path, "npz", ids="ab", times=times)
    np.savez_compressed(made.source / "b.npz", features=np.zeros((90_000, DIM), np.float32))
    store = made.run(monkeypatch)
    assert [store[v].status for v in "ab"] == ["ok", "failed"]
    assert store["b"].reason.startswith(f"wrong length: {found}")
    assert store["b"].reason.endswith("which is implausible")
    made.videos({"a": 20.0, "b": 180_000.0})
    assert made.run(monkeypatch)["b"].status == "ok"


def test_proportional_times_follow_the_annotated_duration(tmp_path, monkeypatch):
    made = project(tmp_path, times="proportional")
    made.videos({"a": 25.0})
    assert np.allclose(made.run(monkeypatch)["a"].times[:, 0], 2.5 * np.arange(10))
    made.videos({"a": 50.0})
    assert made.run(monkeypatch)["a"].times[-1, 1] == 50.0
    assert import_times({"times": None}, 2, None).tolist() == [[0, 1], [1, 2]]


def test_text_features_are_found_by_the_query_id_of_the_source(tmp_path, monkeypatch):
    made = project(tmp_path, ids="", kind="text", times=None, key="last_hidden_state")
    made.settings |= {"layout": "npz", "id_pattern": "qid{source_query_id}.npz"}
    np.savez(made.source / "qid7.npz", last_hidden_state=rows_of("a"), pooler_output=rows_of("a")[0])
    made.table = made.table.with_name("queries.parquet")
    query = {"query_id": "ds/test/7", "source_query_id": "7", "video_id": "v", "split": "test", "ordinal": 0}
    write_table(made.table, pa.Table.from_pylist([query | {"audio_path": None}], QUERY_NAMES))
    assert np.array_equal(made.run(monkeypatch)["ds/test/7"].values, rows_of("a"))


def test_vectors_of_spoken_queries_are_found_by_the_name_of_their_sound(tmp_path, monkeypatch):
    made = project(tmp_path, ids="", kind="text", times=None)
    made.settings |= {"layout": "pt", "id_pattern": "{audio_stem}.pt"}
    torch.save(torch.from_numpy(rows_of("a")), made.source / "AAAAA_train_1.pt")
    made.table = made.table.with_name("queries.parquet")
    query = {"query_id": "ds/train/7", "source_query_id": "7", "video_id": "v", "split": "train", "ordinal": 0}
    rows = [query | {"audio_path": "AAAAA_train_1.wav"}, query | {"query_id": "ds/train/8", "audio_path": None}]
    write_table(made.table, pa.Table.from_pylist(rows, QUERY_NAMES))
    store = made.run(monkeypatch)
    assert np.array_equal(store["ds/train/7"].values, rows_of("a"))
    assert store["ds/train/8"].status == "failed"


def test_a_wrong_pattern_or_path_ends_with_what_is_there(tmp_path, monkeypatch):
    made = project(tmp_path)
    made.settings["id_pattern"] = "v_{video_id}.npy"
    with pytest.raises(UserError, match=r"looked for 'v_a.npy' and 2 others, found e.g. '.\.npy'"):
        made.run(monkeypatch)
    made.settings["id_pattern"] = "{vid}.npy"
    with pytest.raises(UserError, match="unknown name 'vid'"):
        made.run(monkeypatch)
    made.settings["layout"] = "pickle_dict"
    made.settings["id_pattern"] = "{video_id}"
    with pytest.raises(UserError, match="is one file"):
        made.run(monkeypatch)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": None}, "add seconds per row"),
        ({"kind": "text"}, "text has rows of words"),
        ({"layout": "mat"}, "layout"),
        ({"encoder": "clip"}, "unknown key"),
    ],
)
def test_a_wrong_feature_file_is_explained(tmp_path, change, message):
    made = project(tmp_path)
    made.settings |= change
    with pytest.raises(UserError, match=message):
        made.configuration().feature("ds", "published")


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_cannot_run_code_and_arrays_of_every_protocol_are_read(tmp_path, protocol):
    arrays = {"a": rows_of("a"), "half": rows_of("b").astype(np.float16), "one": np.float32(3)}
    path = tmp_path / "arrays.pickle"
    path.write_bytes(pickle.dumps(arrays, protocol))
    with path.open("rb") as file:
        assert all(np.array_equal(value, arrays[name]) for name, value in unpickle(file.read()).items())
    marker = tmp_path / "ran"
    for bad in (Malicious(marker), eval, {"a": [print]}, np.array([marker], dtype=object)):
        path.write_bytes(pickle.dumps({"a": bad}, protocol))
        with pytest.raises(UserError, match="refused to load"):
            open_source(path, "pickle_dict", None)
    torch.save({"a": Malicious(marker)}, tmp_path / "a.pt")
    with pytest.raises(UnreadableFile):
        open_source(tmp_path, "pt", None).read("a.pt")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("values", "shape"),
    [(np.zeros((4, 1, 1, 3)), (4, 3)), (np.zeros(3), (1, 3)), (np.zeros((4, 3), np.uint8), (4, 3))],
)
def test_odd_shapes_become_rows(tmp_path, values, shape):
    np.save(tmp_path / "a.npy", values)
    assert open_source(tmp_path, "npy", None).read("a.npy").shape == shape


@pytest.mark.parametrize("values", [np.zeros((4, 2, 3)), np.array(["x"]), np.zeros(())])
def test_other_shapes_are_refused(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(UnreadableFile, match="expected"):
        open_source(tmp_path, "npy", None).read("a.npy")


BAD_ROWS = {
    "three axes": (np.zeros((4, 2, 3)), "expected (T, D)"),
    "text": (np.array([b"x", b"y"]), "expected numbers"),
    "not finite": (np.array([[1, np.nan], [np.inf, 0]]), "2 of 4 values are not finite"),
}


# A tensor holds no text.
@pytest.mark.parametrize(
    ("form", "bad"),
    [(form, bad) for form in sorted(FORMS) for bad in sorted(BAD_ROWS) if (form, bad) != ("pt", "text")],
)
def test_rows_that_are_none_fail_alone_and_are_named_in_every_layout(tmp_path, monkeypatch, form, bad):
    values, found = BAD_ROWS[bad]
    made = project(tmp_path, form, ids="ab")
    FORMS[form][0](made.source, "c", values)
    store = made.run(monkeypatch)
    assert [store[video_id].status for video_id in "abc"] == ["ok", "ok", "failed"]
    assert found in store["c"].reason
    assert "c" in store["c"].reason
    assert made.report()["c"][1] == "unreadable"


@pytest.mark.parametrize("form", ["h5", "npz", "one hdf5"])
def test_an_array_that_is_not_there_is_asked_for_by_the_names_that_are(tmp_path, monkeypatch, form):
    made = project(tmp_path, form)
    made.settings["key"] = "no_such_array"
    reasons = {made.run(monkeypatch)[video_id].reason for video_id in LENGTHS}
    assert all("no array 'no_such_array'; set `key` to one of " in reason for reason in reasons)


@pytest.mark.parametrize("form", ["npy", "npz", "pickle", "lmdb"])
def test_arrays_of_objects_are_refused_unread(tmp_path, monkeypatch, form):
    """Loading them would run whatever code the file names."""
    marker = tmp_path / "ran"
    made = project(tmp_path, form, ids="ab")
    FORMS[form][0](made.source, "c", np.array([Malicious(marker)], dtype=object))
    if form == "pickle":
        with pytest.raises(UserError, match="refused to load"):
            made.run(monkeypatch)
    else:
        assert made.run(monkeypatch)["c"].reason.startswith("unreadable")
    assert not marker.exists()


def test_a_file_of_another_width_than_most_fails_alone(tmp_path, monkeypatch):
    made = project(tmp_path, ids="ac")
    np.save(made.source / "b.npy", np.zeros((3, 2)))
    store = made.run(monkeypatch)
    assert [store[video_id].status for video_id in "abc"] == ["ok", "failed", "ok"]
    assert store["b"].reason == f"wrong width: rows of 2 numbers, others have {DIM}"
    assert made.report()["b"][1:3] == ["wrong width", "0"]
    np.save(made.source / "b.npy", rows_of("b"))
    assert made.run(monkeypatch)["b"].status == "ok"
