"""Two runs compared query by query."""

import json

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.made_benchmarks import run_entry_point
from workflow_scripts import compare_runs
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.bootstrap import compare
from workflow_scripts.lib.scoring.comparison import compare_tables, comparison_text
from workflow_scripts.lib.scoring.results import PER_QUERY_SCHEMA
from workflow_scripts.lib.store.tables import write_table


def table(values, rules="span_index", metric="mIoU", first_id=0):
    rows = [
        {"rules": rules, "metric": metric, "query_id": f"q{first_id + i}", "video_id": "v", "value": float(value)}
        for i, value in enumerate(values)
    ]
    return pa.Table.from_pylist(rows, schema=PER_QUERY_SCHEMA)


RNG = np.random.default_rng(0)
FIRST = RNG.random(60)
SECOND = np.clip(FIRST + RNG.normal(0.1, 0.1, 60), 0, 1)


def test_the_difference_is_the_paired_one():
    order = RNG.permutation(60)
    [row] = compare_tables(table(FIRST), table(SECOND).take(order), "a", "b")
    wanted = compare(100 * FIRST, 100 * SECOND)
    assert row["difference"] == pytest.approx(100 * (SECOND - FIRST).mean())
    assert [row["low"], row["high"]] == pytest.approx([wanted.difference.low, wanted.difference.high])
    assert 0 < row["low"] < row["difference"] < row["high"]
    assert (row["better"], row["worse"], row["queries"]) == (wanted.n_better, wanted.n_worse, 60)
    assert row["p_value"] < 0.01


def test_a_run_does_not_differ_from_itself():
    [row] = compare_tables(table(FIRST), table(FIRST), "a", "b")
    assert (row["difference"], row["low"], row["high"], row["p_value"]) == (0, 0, 0, 1)


def test_queries_of_one_run_only_are_left_out_and_counted():
    [row] = compare_tables(table(FIRST), table(SECOND[10:], first_id=10), "a", "b")
    assert (row["queries"], row["only_in_one"]) == (50, 10)
    assert "up to 10 values are of queries that only one of the runs has" in comparison_text([row])


def test_runs_without_anything_in_common_are_refused():
    with pytest.raises(UserError, match="rule sets of the first: span_index; of the second: calce"):
        compare_tables(table(FIRST), table(FIRST, "calce"), "a", "b")
    with pytest.raises(UserError, match="no query in common; are they of the same split"):
        compare_tables(table(FIRST), table(FIRST, first_id=100), "a", "b")


def test_the_command_takes_folders_or_metrics_files(tmp_path, monkeypatch, capsys):
    for name, values in (("a", FIRST), ("b", SECOND)):
        both = pa.concat_tables([table(values), table(values, metric="R1@0.5")])
        write_table(tmp_path / name / "per_query.parquet", both)
        (tmp_path / name / "metrics.json").write_text("{}")
    out = tmp_path / "comparison.json"
    run_entry_point(monkeypatch, compare_runs, tmp_path / "a", tmp_path / "b" / "metrics.json", "--out", out)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["span_index", "mIoU"], ["span_index", "R1@0.5"]]
    assert [row["metric"] for row in json.loads(out.read_text())["comparison"]] == ["mIoU", "R1@0.5"]
