"""What is told about disk space before anything runs."""

import pytest

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


class FetchFirst(Exception):
    """Nothing more can be planned before a file is there."""


def test_what_has_to_be_fetched_first_does_not_stop_the_call(tmp_path, monkeypatch):
    """From a fresh clone: the annotations that name the videos are not there yet."""
    (tmp_path / "data/qvh/videos").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    def fetch_first(file):
        raise FetchFirst(file)

    plan = Plan({}, ROOT / "config", fetch_first).features
    with pytest.raises(FetchFirst, match="highlight_train"):
        plan.row_shards("qvh", "blip2_tokens")
    assert plan.large_stores() == []
