"""A shard that is gone behind a finished index is counted while the job graph is built, so that it is made again."""

import json
from pathlib import Path

import pytest

from tests.markdown_pages import ROOT
from workflow_scripts.lib.planning.plan import Plan


def lost(feature: str) -> dict[str, int]:
    """Return what a new call of the workflow counts."""
    features = Plan({}, ROOT / "config").features
    path = features.lost_shards("demo", feature)
    assert Path(features.settings("demo", feature)).parent == Path(path).parent
    return json.loads(Path(path).read_text())


@pytest.mark.parametrize(
    ("feature", "folder", "complete"),
    [
        ("clip_tiny", "features/clip_tiny", "{}.zarr/zarr.json"),
        ("whisper_tiny_en", "transcripts/whisper_tiny_en", "{}.parquet"),
    ],
)
def test_only_a_shard_that_is_gone_behind_an_index_counts_as_lost(feature, folder, complete, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results/demo" / folder
    assert lost(feature) == {}
    for shard in ("0000", "0001"):
        path = results / complete.format(shard)
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    (results / "index.parquet").touch()
    assert lost(feature) == {}
    path.unlink()
    assert lost(feature) == {"0001": 1}
    path.touch()
    assert lost(feature) == {"0001": 1}
    path.unlink()
    assert lost(feature) == {"0001": 2}
