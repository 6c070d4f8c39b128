"""Systems beside each other on a page: seeds, pairs, chance, cost."""

import json

import numpy as np
import pytest

from tests.unit.made_benchmarks import run_entry_point
from tests.unit.test_compare_runs import FIRST, SECOND, table
from workflow_scripts import compare_systems
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning.system_plan import Systems
from workflow_scripts.lib.reporting.compared_runs import compared_pairs, cost, read_runs, render_runs
from workflow_scripts.lib.reporting.table import headline
from workflow_scripts.lib.scoring.comparison import compare_tables, holm, mean_over_seeds
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.tables import write_table

EVIL = "<script>alert(1)</script>"


def write_run(folder, system, *values_of_seeds, split="test", metric="mIoU"):
    """Write the results of a system, one array of values per seed."""
    seeds = {}
    for number, values in enumerate(values_of_seeds):
        own = table(values, metric=metric)
        write_table(folder / f"seed{number}" / split / "per_query.parquet", own)
        seeds[f"seed{number}"] = {"rule_sets": {"span_index": {"metrics": {metric: 100 * float(np.mean(values))}}}}
    means = [own["rule_sets"]["span_index"]["metrics"][metric] for own in seeds.values()]
    first = {"span_index": {"metrics": {metric: float(np.mean(means))}}}
    metrics = {"dataset": "demo", "split": split, "system": system, "protocol": "clean", "rule_sets": first}
    write_json(folder / "metrics.json", metrics | {"seeds": seeds if len(seeds) > 1 else list(seeds)})
    return folder


def test_seeds_are_averaged_query_by_query_where_all_have_the_query():
    found = mean_over_seeds([table([0.0, 1.0, 0.5]), table([1.0, 1.0])])
    assert dict(zip(found["query_id"].to_pylist(), found["value"].to_pylist(), strict=True)) == {"q0": 0.5, "q1": 1.0}


def test_p_values_are_adjusted_for_their_number():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_better_of_two_stands_first_with_the_difference_turned(tmp_path):
    runs = read_runs([write_run(tmp_path / "b", "b", SECOND), write_run(tmp_path / "a", "a", FIRST, FIRST)])
    [section], _ = compared_pairs(runs)
    [pair] = section["pairs"]
    [plain] = compare_tables(table(FIRST), table(SECOND), "", "")
    assert (section["rules"], section["metric"]) == ("span_index", "mIoU")
    assert (pair["better"], pair["worse"], pair["is_more_than_chance"]) == ("b", "a", True)
    assert pair["difference"] == pytest.approx(plain["difference"])
    assert pair["interval"] == pytest.approx([plain["low"], plain["high"]], abs=0.5)
    assert pair["counts"] == [plain["better"], plain["worse"], 60]


def test_less_of_what_is_bad_is_better(tmp_path):
    few, many = np.zeros(40), np.ones(40)
    runs = read_runs(
        [write_run(tmp_path / name, name, own, metric="invalid") for name, own in (("few", few), ("many", many))]
    )
    [pair] = compared_pairs(runs)[0][0]["pairs"]
    assert (pair["better"], pair["counts"]) == ("few", [40, 0, 40])


def test_a_difference_that_chance_gives_is_called_so(tmp_path):
    noise = np.random.default_rng(1).normal(0, 0.2, 60)
    runs = [write_run(tmp_path / name, name, own) for name, own in (("a", FIRST), ("b", FIRST + noise - noise.mean()))]
    page = render_runs(read_runs(runs))
    assert "no more than chance gives" in page or "do not differ" in page
    assert "is better than" not in page


def test_a_pair_without_a_query_in_common_is_named_and_the_others_are_compared(tmp_path):
    runs = [write_run(tmp_path / name, name, own) for name, own in (("a", FIRST), ("b", SECOND), ("c", FIRST))]
    write_table(tmp_path / "c" / "seed0" / "test" / "per_query.parquet", table(FIRST, first_id=100))
    page = render_runs(read_runs(runs))
    assert page.count("no query in common") == 2
    assert "<b>b</b> is better than a" in page
    assert "on the same queries" in render_runs(read_runs(runs[1:]))


def test_moments_are_compared_by_recall_and_other_tasks_by_their_headline():
    assert headline("span_index", ["mIoU", "R1@0.5"]) == "R1@0.5"
    assert headline("captions", ["BLEU@4", "CIDEr"]) == "CIDEr"
    assert headline("captions", ["BLEU@4"]) == "BLEU@4"


def test_runs_of_other_splits_and_folders_without_scores_are_refused(tmp_path):
    own = write_run(tmp_path / "a", "a", FIRST)
    with pytest.raises(UserError, match="several datasets or splits"):
        read_runs([own, write_run(tmp_path / "b", "b", FIRST, split="val")])
    with pytest.raises(UserError, match="no such file; make it first"):
        read_runs([own, tmp_path])


def test_cost_is_read_from_what_the_workflow_noted(tmp_path):
    header = "s\th:m:s\tmax_rss\n"
    for name, rows in {
        "a/train_seed0": "10\t-\t500\n",
        "a/train_seed1": "20\t-\t-\n",
        "clip/0000": "3\t-\t70\n",
    }.items():
        path = tmp_path / f"{name}.tsv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(header + rows)
    [run] = read_runs([write_run(tmp_path / "runs" / "a", "a", FIRST)])
    run.metrics["inputs"] = {"features": {"visual": ["clip"], "text": ["nowhere"]}}
    found = cost(run, [tmp_path])
    assert (found["training_s"], found["training_mb"]) == (15.0, 500.0)
    assert (found["extraction_s"], found["extraction_mb"]) == (3.0, 70.0)
    assert cost(run, [])["training_s"] is None


def test_the_command_writes_a_page_in_which_names_stay_text(tmp_path, monkeypatch, capsys):
    folders = [
        write_run(tmp_path / name, system, own)
        for name, system, own in (
            ("a", "img", FIRST),
            ("b", EVIL, SECOND),
            ("c", "img", FIRST),
        )
    ]
    run_entry_point(monkeypatch, compare_systems, *folders, "--out", tmp_path / "comparison.html")
    page = (tmp_path / "comparison.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;</b> is better than" in page
    # Two of one name are told apart by their folders.
    assert str(tmp_path / "a") in page
    assert capsys.readouterr().out == ""


def test_what_is_compared_are_the_runs_that_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "results" / "demo" / "img", "img", FIRST)
    with pytest.raises(UserError, match=r"there are\s+1, two are needed"):
        Systems.finished("demo")
    write_run(tmp_path / "results" / "demo" / "external" / "theirs", "theirs", FIRST)
    assert Systems.finished("demo") == ["results/demo/external/theirs/metrics.json", "results/demo/img/metrics.json"]
    assert json.loads((tmp_path / Systems.finished("demo")[1]).read_text())["system"] == "img"
