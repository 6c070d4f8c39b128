"""Two features of a dataset side by side."""

import logging
import sys

import numpy as np
import pytest

from tests.unit.made_features import make_feature
from workflow_scripts import compare_features
from workflow_scripts.lib.reporting.comparison_page import render_comparison, summary
from workflow_scripts.lib.reporting.comparison_plot import comparison_figure
from workflow_scripts.lib.store.feature_store import StoredRows
from workflow_scripts.lib.store.row_comparison import COMPARISON_SCHEMA, compare_rows, match_times
from workflow_scripts.lib.store.tables import read_table


def rows(values: np.ndarray, stride_s: float = 1.0, start_s: float = 0.0) -> StoredRows:
    edges = (start_s + stride_s * np.arange(len(values) + 1)).astype(np.float32)
    return StoredRows(np.asarray(values, np.float32), np.stack([edges[:-1], edges[1:]], 1), "ok", "")


VALUES = np.random.default_rng(0).standard_normal((20, 8))


def test_a_feature_equals_itself():
    found = compare_rows(rows(VALUES), rows(VALUES))
    assert (found["row_difference"], found["end_difference_s"], found["matched_rows"]) == (0, 0.0, 20)
    assert found["cosine_min"] == pytest.approx(1.0)
    assert found["max_abs_difference"] == 0.0


def test_rows_are_matched_by_time_not_by_number():
    found = compare_rows(rows(VALUES), rows(np.repeat(VALUES, 2, axis=0), stride_s=0.5))
    assert found["cosine_min"] == pytest.approx(1.0)
    assert found["row_difference"] == 20
    shifted = compare_rows(rows(VALUES), rows(VALUES[5:], start_s=5.0))
    assert shifted["matched_rows"] == 15
    assert shifted["cosine_min"] == pytest.approx(1.0)


def test_nothing_is_matched_past_the_end_of_the_shorter_one():
    found = compare_rows(rows(VALUES), rows(VALUES[:12]))
    assert (found["matched_rows"], found["row_difference"], found["end_difference_s"]) == (12, -8, -8.0)
    own, theirs = match_times(rows(VALUES).times, rows(VALUES, start_s=100.0).times)
    assert len(own) == len(theirs) == 0


def test_another_direction_and_another_width_show():
    assert compare_rows(rows(VALUES), rows(-VALUES))["cosine_mean"] == pytest.approx(-1.0)
    narrow = compare_rows(rows(VALUES), rows(VALUES[:, :4]))
    assert "cosine_mean" not in narrow
    assert narrow["matched_rows"] == 20


def test_absent_empty_and_zero_rows_have_no_cosine():
    empty = StoredRows(np.zeros((0, 8), np.float32), np.zeros((0, 2), np.float32), "no_audio", "silent")
    assert compare_rows(rows(VALUES), None)["other_status"] == "absent"
    assert compare_rows(rows(VALUES), empty)["other_status"] == "no_audio"
    assert "cosine_mean" not in compare_rows(rows(VALUES), rows(0 * VALUES))


def test_the_table_has_a_row_per_video_of_either_and_the_pictures_show_it(tmp_path, monkeypatch, caplog):
    one, other = (make_feature(tmp_path / "ds" / "features" / name) for name in ("one", "other"))
    indices = [str(root / "index.parquet") for root in (one, other)]
    out, plot, page = (tmp_path / f"compare.{ending}" for ending in ("parquet", "png", "html"))
    monkeypatch.setattr(sys, "argv", ["x", *indices, "--out", str(out), "--plot", str(plot), "--page", str(page)])
    with caplog.at_level(logging.INFO):
        compare_features.main()
    table = read_table(out)
    assert table.schema.names == COMPARISON_SCHEMA.names
    assert table.column("id").to_pylist() == ["a", "b", "d", "e", "silent"]
    assert table.column("cosine_mean").to_pylist()[:4] == pytest.approx([1.0] * 4)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "<svg" in page.read_text()
    assert "The recipes are equal" in page.read_text()
    assert "5 videos, 4 comparable, 5 of equal length" in caplog.text


def compared(video_id: str, one: StoredRows | None, other: StoredRows | None) -> dict:
    empty = dict.fromkeys(COMPARISON_SCHEMA.names)
    return empty | {"id": video_id} | compare_rows(one, other)


def test_the_page_names_the_worst_video_first_and_escapes_names():
    empty = StoredRows(np.zeros((0, 8), np.float32), np.zeros((0, 2), np.float32), "no_audio", "silent")
    noisy = VALUES + np.random.default_rng(1).standard_normal(VALUES.shape)
    rows_of = [
        compared("equal", rows(VALUES), rows(VALUES)),
        compared("silent", empty, empty),
        compared("noisy", rows(VALUES), rows(noisy)),
        compared("<lost>", rows(VALUES), None),
        compared("longer", rows(VALUES), rows(np.concatenate([VALUES, VALUES]))),
    ]
    columns = {name: [row[name] for row in rows_of] for name in ("cosine_mean", "row_difference")}
    figure = comparison_figure(columns, "one and other")
    page = render_comparison(("one", "other"), rows_of, ({"a": 1, "b": 2}, {"a": 1}), (8, 8), figure)
    order = [page.index(f"<td>{name}</td>") for name in ("&lt;lost&gt;", "noisy", "longer", "equal", "silent")]
    assert order == sorted(order)
    assert "<lost>" not in page
    assert "one ok, other absent" in page
    assert "The recipes differ in b" in page
    assert "only lengths" not in page
    assert "only lengths" in render_comparison(("one", "other"), rows_of, ({}, {}), (8, 4), figure)


def test_nothing_comparable_still_gives_a_page():
    rows_of = [compared("a", rows(VALUES), rows(VALUES[:, :4]))]
    assert summary(rows_of)["cosine_least"] is None
    columns = {name: [row[name] for row in rows_of] for name in ("cosine_mean", "row_difference")}
    figure = comparison_figure(columns, "x and y")
    assert [axes.get_xlabel() for axes in figure.axes] == ["rows of the second less rows of the first"]
    page = render_comparison(("x", "y"), rows_of, ({}, {}), (8, 4), figure)
    assert "<td>a</td>" in page
    assert "with rows of the same time on both sides</td><td>1</td>" in page
