"""Features whose rows see several frames or the whole sound, on real videos by real Snakemake."""

import numpy as np
import pytest

from workflow_scripts.fit_pca import main as fit_pca
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.tables import read_table

pytestmark = pytest.mark.workflow

SMALL = {
    # width of a row; rows of a video of so many seconds
    "slowfast_tiny": (288, lambda seconds: np.ceil(seconds / 2)),
    "i3d_tiny": (64, lambda seconds: np.ceil(np.round(seconds * 8) / 16)),
    "c3d_tiny": (32, lambda seconds: (np.round(seconds * 8) - 16) // 8 + 1),
    "languagebind_video_tiny": (64, lambda seconds: 8),
    "languagebind_audio_tiny": (64, lambda seconds: 1),
}


@pytest.fixture(scope="module")
def extracted(demo, made_once):
    """The tiny demo with the small variants of all windowed encoders."""
    targets = (f"demo/features/{name}/index.parquet" for name in SMALL)
    return made_once("windowed", demo.workflow.copy, *targets).workflow


@pytest.mark.parametrize("name", SMALL)
def test_every_video_has_its_rows_over_its_whole_length(extracted, name):
    store, (dim, n_rows) = FeatureStore(extracted.results / f"demo/features/{name}"), SMALL[name]
    media = read_table(extracted.results / "demo/media/manifest.parquet").to_pylist()
    assert store.dim == dim
    assert sorted(store) == sorted(row["video_id"] for row in media)
    silent = {row["video_id"] for row in media if store[row["video_id"]].status == "no_audio"}
    assert len(silent) < len(media)
    assert not silent or "audio" in name
    for row in media:
        found = store[row["video_id"]]
        if row["video_id"] in silent:
            assert len(found.values) == 0
            continue
        assert found.status == "ok"
        assert len(found.values) == n_rows(row["duration_s"])
        assert np.isfinite(found.values).all()
        assert found.times[0, 0] == pytest.approx(0, abs=0.1)
        assert found.times[-1, 1] == pytest.approx(row["duration_s"], abs=2)
        assert (np.diff(found.times, axis=1) > 0).all()


def test_components_are_fitted_on_a_finished_feature(extracted, tmp_path, monkeypatch):
    index, out = extracted.results / "demo/features/c3d_tiny/index.parquet", tmp_path / "weights" / "pca.safetensors"
    monkeypatch.setattr("sys.argv", ["fit_pca", str(index), "--components", "5", "--out", str(out)])
    fit_pca()
    assert out.is_file()
