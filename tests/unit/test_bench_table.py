"""Benchmarks run one after the other, and what got worse is marked beside what is stored."""

import json
from dataclasses import replace

import pytest

from tests.benchmarks import table
from tests.benchmarks.figures import Figure, amount, handed_over, tell
from tests.benchmarks.table import BEGIN, BENCHMARKS, END, PAGE, STORED, Benchmark, compared, measure, page, read

TOLD = {"command": "python -m made", "machine": "made, 2 cores", "date": "2026-11-29", "load": 1.5}
SECONDS = Figure("a step", 2.0, "s", asked=2.5)
RATE = Figure("reading", 100.0, "samples/s", "larger")
MADE = f"# Figures\n\nby hand\n\n{BEGIN}\nold\n{END}\n\nmore by hand\n"


def stored_as(*figures):
    return compared(figures, {}, TOLD)


def hands_over(*figures):
    """Return a program that hands figures over as a benchmark does."""
    return f"from tests.benchmarks.figures import *; raise SystemExit(tell({list(figures)}, Path(sys.argv[-1])))"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder with a page, in which made benchmarks take the place of ours."""
    (tmp_path / "page.md").write_text(MADE)
    monkeypatch.setattr(table, "BENCHMARKS", {})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add(monkeypatch, folder, name, program):
    (folder / f"made_{name}.py").write_text(f"import sys\nfrom pathlib import Path\n{program}\n")
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{table.ROOT}")
    table.BENCHMARKS[name] = Benchmark(f"made_{name}")


def measured(folder, *names, writes=True):
    return measure(list(names), folder / "figures.json", folder / "page.md" if writes else None)


@pytest.mark.parametrize(
    ("figure", "value", "part"),
    [(SECONDS, 2.5, 0.25), (SECONDS, 1.0, -0.5), (RATE, 80.0, 0.25), (RATE, 200.0, -0.5), (SECONDS, 2.0, 0.0)],
)
def test_worse_is_more_of_what_should_be_little_and_less_of_what_should_be_much(figure, value, part):
    assert replace(figure, value=value).worse_than(figure.value) == pytest.approx(part)


def test_anything_is_worse_than_nothing_at_all():
    assert Figure("violations", 1).worse_than(0) == float("inf")
    assert Figure("violations", 0).worse_than(0) == 0
    assert Figure("violations", 0).worse_than(3) == -1


@pytest.mark.parametrize(
    ("figure", "is_held", "bound"),
    [
        (Figure("a", 2.0, "s", asked=2.0), True, "≤ 2 s"),
        (Figure("a", 2.1, "s", asked=2.0), False, "≤ 2 s"),
        (Figure("a", 2.0, "x", "larger", 2.0), True, "≥ 2 x"),
        (Figure("a", 1.9, "x", "larger", 2.0), False, "≥ 2 x"),
        (Figure("a", 9.0), True, ""),
        (Figure("violations", 1, asked=0), False, "≤ 0"),
    ],
)
def test_a_bound_belongs_to_what_it_allows(figure, is_held, bound):
    assert (figure.is_held, figure.bound) == (is_held, bound)
    assert ("MISSED" in str(figure)) == (not is_held)


def test_amounts_show_three_digits():
    assert [amount(v, u) for v, u in ((0.12345, "ms"), (5010, ""), (123.4, "MB"))] == ["0.123 ms", "5,010", "123 MB"]


def test_figures_are_handed_over_as_they_are(tmp_path, capsys):
    assert tell(iter([SECONDS, RATE]), tmp_path / "figures.json") == 0
    assert handed_over(tmp_path / "figures.json") == [SECONDS, RATE]
    assert capsys.readouterr().out.splitlines() == [str(SECONDS), str(RATE)]
    assert tell([replace(SECONDS, value=3.0)], None) == 1


def test_nothing_is_handed_over_by_a_benchmark_that_breaks_off(tmp_path):
    def breaking():
        yield SECONDS
        raise ValueError

    with pytest.raises(ValueError):
        tell(breaking(), tmp_path / "figures.json")
    assert not (tmp_path / "figures.json").exists()


@pytest.mark.parametrize(("value", "is_marked"), [(2.29, False), (2.31, True), (1.0, False)])
def test_what_got_worse_by_more_than_15_percent_is_marked(value, is_marked):
    records = compared([replace(SECONDS, value=value)], stored_as(SECONDS), TOLD)
    assert records["a step"].get("before") == (2.0 if is_marked else None)
    assert ("worse" in table.table({"dry_run": records})) == is_marked


def test_a_mark_stays_until_the_figure_is_as_good_again():
    records = compared([replace(SECONDS, value=3.0)], stored_as(SECONDS), TOLD)
    records = compared([replace(SECONDS, value=3.0)], records, TOLD)
    assert records["a step"]["before"] == 2.0
    assert "before" not in compared([SECONDS], records, TOLD)["a step"]


def test_what_says_nothing_is_not_compared():
    wall = replace(SECONDS, is_compared=False)
    assert "before" not in compared([replace(wall, value=9.0)], stored_as(wall), TOLD)["a step"]


def test_a_remark_stays_and_so_does_what_was_not_measured():
    old = stored_as(SECONDS, RATE)
    old["a step"]["note"] = "not reached on a busy machine"
    new = compared([replace(SECONDS, value=1.0)], old, TOLD | {"date": "2026-12-01"})
    assert (new["a step"]["value"], new["a step"]["date"]) == (1.0, "2026-12-01")
    assert new["a step"]["note"] == "not reached on a busy machine"
    assert new["reading"] == old["reading"]


def test_the_table_says_what_is_asked_and_where_it_was_measured():
    records = stored_as(replace(SECONDS, value=3.0))
    records["a step"]["note"] = "one thread"
    assert table.table({"dry_run": records}).splitlines()[2:] == [
        "| a step | ≤ 2.5 s | 3 s, **missed** | 2026-11-29, made, 2 cores, load 1.5 | `python -m made` | one thread |"
    ]


def test_only_what_is_between_the_markers_is_written():
    records = {"dry_run": stored_as(SECONDS)}
    assert page(MADE, records) == MADE.replace("\nold\n", f"\n\n{table.table(records)}\n\n")
    assert page(page(MADE, records), records) == page(MADE, records)


@pytest.mark.parametrize("text", ["no markers", BEGIN, END])
def test_a_page_without_markers_is_refused(text):
    with pytest.raises(SystemExit, match="between"):
        page(text, {})


def test_figures_of_made_benchmarks_are_stored_and_shown(folder, monkeypatch, capsys):
    add(monkeypatch, folder, "one", hands_over(SECONDS, RATE))
    assert measured(folder, "one") == 0
    record = json.loads((folder / "figures.json").read_text())["one"]["a step"]
    assert (record["value"], record["command"], record["machine"]) == (2.0, "python -m made_one", table.machine())
    assert "| a step | ≤ 2.5 s | 2 s |" in (folder / "page.md").read_text()
    assert "[1/1] python -m made_one" in capsys.readouterr().out


def test_a_figure_that_is_not_measured_any_more_is_told(folder, monkeypatch, capsys):
    add(monkeypatch, folder, "one", hands_over(SECONDS))
    (folder / "figures.json").write_text(json.dumps({"one": stored_as(SECONDS, RATE)}))
    assert measured(folder, "one") == 0
    assert "not measured this time, stays as it is: reading\n" in capsys.readouterr().out
    assert list(read(folder / "figures.json")["one"]) == ["a step", "reading"]


def test_a_missed_bound_is_no_failure(folder, monkeypatch):
    add(monkeypatch, folder, "one", hands_over(replace(SECONDS, value=9.0)))
    assert measured(folder, "one") == 0
    assert "9 s, **missed**" in (folder / "page.md").read_text()


def test_a_benchmark_that_fails_stops_no_other_and_is_counted(folder, monkeypatch, capsys):
    add(monkeypatch, folder, "broken", "raise ValueError('as made')")
    add(monkeypatch, folder, "one", hands_over(SECONDS))
    assert measured(folder, "broken", "one") == 1
    assert list(read(folder / "figures.json")) == ["one"]
    assert capsys.readouterr().out.splitlines()[-2:] == ["1 of 2 benchmarks failed", "broken: status 1, no figures"]


def test_a_check_writes_nothing_and_ends_with_1_if_a_figure_is_marked(folder, monkeypatch, capsys):
    add(monkeypatch, folder, "one", hands_over(SECONDS))
    assert measured(folder, "one") == 0
    kept = [(folder / name).read_text() for name in ("figures.json", "page.md")]
    assert measured(folder, "one", writes=False) == 0
    add(monkeypatch, folder, "one", hands_over(replace(SECONDS, value=3.0)))
    assert measured(folder, "one", writes=False) == 1
    assert "WORSE: one, a step: 3 s (asked: ≤ 2.5 s: MISSED), 50% worse than 2 s" in capsys.readouterr().out
    assert [(folder / name).read_text() for name in ("figures.json", "page.md")] == kept
    assert measured(folder, "one") == 0
    assert "3 s, **missed**, **50% worse than 2 s**" in (folder / "page.md").read_text()


def test_a_figure_of_another_machine_is_marked_as_such(folder, monkeypatch, capsys):
    add(monkeypatch, folder, "one", hands_over(replace(SECONDS, value=3.0)))
    (folder / "figures.json").write_text(json.dumps({"one": stored_as(SECONDS)}))
    assert measured(folder, "one") == 0
    assert "50% worse than 2 s on another machine (made, 2 cores)" in capsys.readouterr().out


def test_the_page_is_that_of_the_stored_figures():
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text, read(STORED)), "run `python -m tests.benchmarks.table --page`"


def test_every_benchmark_is_a_module_that_takes_a_file():
    for name, benchmark in BENCHMARKS.items():
        module = benchmark.command.split()[0]
        text = (table.ROOT / (module.replace(".", "/") + ".py")).read_text()
        assert "benchmark_parser(" in text or "seeds_parser(" in text, name
        assert "tell(" in text, name
    assert set(read(STORED)) <= set(BENCHMARKS)
