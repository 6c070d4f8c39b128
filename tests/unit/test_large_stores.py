"""What is told about disk space before anything runs."""

from tests.markdown_pages import ROOT
from workflow_scripts.lib.planning.plan import Plan

N_VIDEOS = 100 + 20 + 30
"""Videos of the demo."""


def told(folder, monkeypatch, *features: str) -> list[str]:
    monkeypatch.chdir(folder)
    plan = Plan({}, ROOT / "config").features
    for feature in features:
        plan.row_shards("demo", feature)
    return plan.large_stores()


def test_a_store_of_many_frames_is_announced_with_its_size(tmp_path, monkeypatch):
    [line] = told(tmp_path, monkeypatch, "blip2_tokens", "rgb_histogram", "blip2_frames_tiny")
    assert line.startswith("disk: blip2_tokens of demo needs up to 16 GB (150 videos x 150 rows x 361856 values")
    assert round(N_VIDEOS * 150 * 361856 * 2 / 1e9) == 16


def test_a_store_that_is_there_is_not_announced(tmp_path, monkeypatch):
    index = tmp_path / "results/demo/features/blip2_tokens/index.parquet"
    index.parent.mkdir(parents=True)
    index.touch()
    assert told(tmp_path, monkeypatch, "blip2_tokens") == []
