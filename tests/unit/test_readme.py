"""What the README says is there is there."""

import re

from tests.markdown_pages import (
    README,
    ROOT,
    broken_links,
    code_words,
    make_commands,
    table_rows,
    unknown_targets,
)
from tests.rule_graph import current_readme, levels, mermaid, without_shortcuts
from workflow_scripts.__main__ import tools as listed_tools

TEXT = README.read_text(encoding="utf-8")
PATH = re.compile(r"[\w.<>\-/]+/[\w.<>\-/]*|[\w\-]+\.\w+")
PLACEHOLDER = "<"


def existing_part(path: str) -> str:
    """Return the folder in front of the first placeholder; all of the path if it has none."""
    return path.split(PLACEHOLDER)[0].rpartition("/")[0] if PLACEHOLDER in path else path


def test_the_picture_of_the_workflow_is_that_of_the_rules():
    assert current_readme() == TEXT, "run `make graph`"


def test_every_make_command_names_a_target_of_the_makefile():
    assert {"make demo", "make test"} <= set(make_commands(TEXT))
    assert unknown_targets(TEXT) == []


def test_every_path_in_a_table_exists():
    words = {word for row in table_rows(TEXT) for cell in row for word in code_words(cell) if PATH.fullmatch(word)}
    assert {"rules/", "tests/goldens/img/"} <= words
    missing = sorted(word for word in words if not (ROOT / existing_part(word)).exists())
    assert not missing


def test_every_entry_point_is_run_by_a_rule_or_in_the_table_of_tools():
    rules = "".join(path.read_text() for path in (ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")))
    run_by_rules = set(re.findall(r"python -m workflow_scripts\.(\w+)", rules))
    entry_points = {path.stem for path in (ROOT / "workflow_scripts").glob("*.py")} - {"__init__", "__main__"}
    section = TEXT.split("## Tools run by hand")[1].split("\n## ")[0]
    tools = {code_words(row[0])[0]: code_words(row[2])[0] for row in table_rows(section)}
    assert set(tools) == entry_points - run_by_rules == set(listed_tools())
    assert all(example.split()[0] == tool for tool, example in tools.items())


def test_relative_links_lead_somewhere():
    assert broken_links(README) == []


def test_arrows_that_follow_from_others_are_left_out():
    edges = {("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")}
    assert without_shortcuts(edges) == {("a", "b"), ("b", "c"), ("a", "d")}
    assert levels(edges) == {"a": 0, "b": 1, "c": 2, "d": 1}
    assert mermaid(edges) == "```mermaid\nflowchart TB\n    a --> b\n    a --> d\n    b --> c\n```"
