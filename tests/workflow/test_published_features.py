"""Published feature files on real Snakemake: exported, imported, compared, completed."""

import h5py
import numpy as np
import pytest
import yaml

from tests.workflow.own_videos import LIGHT_FEATURE
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.tables import read_table

pytestmark = pytest.mark.workflow

REPORT = "clips/features/published/import_report.tsv"
COMPARISON = f"clips/compare/{LIGHT_FEATURE}__published"
DESCRIBED = {
    "description": "colour histograms of somebody",
    "kind": "visual",
    "source": "import",
    "path": "published",
    "layout": "npz",
    "id_pattern": "{video_id}.npz",
    "times": 0.5,
}


def test_published_features_are_imported_reported_and_compared(light, tmp_path):
    workflow = light.copy(tmp_path)
    exported = workflow.store_command("export", f"clips/{LIGHT_FEATURE}", "--layout", "npz", "--out", "published")
    assert exported.returncode == 0, exported.stderr
    (workflow.code / "config/features/published.yaml").write_text(yaml.safe_dump(DESCRIBED))
    files = workflow.folder / "published"
    whole = dict(np.load(files / "d.npz"))
    (files / "d.npz").unlink()
    np.savez(files / "b.npz", features=np.tile(np.load(files / "b.npz")["features"], (4, 1)))
    np.savez(files / "c.npz", features=np.full((6, 48), np.nan))

    run = workflow.finish(REPORT, f"{COMPARISON}.html")
    lines = [line.split("\t") for line in (workflow.results / REPORT).read_text().splitlines()[1:]]
    assert {line[0]: line[2] for line in lines} == {"a": "ok", "b": "wrong length", "c": "unreadable", "d": "missing"}
    assert "4 videos, 2 comparable, 1 of equal length" in run.output
    page = (workflow.results / f"{COMPARISON}.html").read_text()
    assert sorted("abcd", key=lambda video: page.index(f"<td>{video}</td>")) == list("dcba")
    table = {row["id"]: row for row in read_table(workflow.results / f"{COMPARISON}.parquet").to_pylist()}
    assert table["a"]["cosine_mean"] == pytest.approx(1.0)
    assert table["a"]["max_abs_difference"] == 0.0
    assert table["b"]["row_difference"] == 3 * table["b"]["rows"]
    assert {video: row["other_status"] for video, row in table.items() if row["cosine_mean"] is None} == {
        "c": "failed",
        "d": "failed",
    }

    np.savez(files / "d.npz", **whole)
    completed = workflow.finish(REPORT, f"{COMPARISON}.html")
    assert completed.rules["import_features"] == 1
    assert workflow.reused_and_computed("clips", "published")["0001"] == (1, 1)
    root = workflow.results / "clips/features"
    assert np.array_equal(FeatureStore(root / "published")["d"].values, FeatureStore(root / LIGHT_FEATURE)["d"].values)
    assert workflow.finish(REPORT, f"{COMPARISON}.html").is_nothing_to_do


def test_an_export_to_one_hdf5_file_is_what_loaders_of_one_file_read(light, tmp_path):
    out = tmp_path / "features.hdf5"
    done = light.workflow.store_command(
        "export", f"clips/{LIGHT_FEATURE}", "--layout", "hdf5", "--key", "c3d_features", "--out", str(out)
    )
    assert done.returncode == 0, done.stderr
    with h5py.File(out) as file:
        assert sorted(file) == ["a", "b", "c", "d"]
        assert file["a/c3d_features"].shape == (6, 48)
