"""What planning does once instead of once per job or per file."""

import gc
import os
from pathlib import Path

import pytest

from workflow_scripts.lib.configuration import compose
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.planning.planned_files import PlannedFiles
from workflow_scripts.lib.store import atomic

ROOT = Path(__file__).resolve().parents[2]
GRAPH_RULES = ROOT / "rules" / "graph.smk"


@pytest.fixture
def flushed(monkeypatch):
    """The files and folders that were waited for."""
    paths = []
    monkeypatch.setattr(atomic, "fsync_path", paths.append)
    return paths


def test_the_functions_of_rules_tell_their_arguments():
    rules = {}
    exec("def of_rules(wc, attempt): pass", rules)
    try:
        exec(compile(GRAPH_RULES.read_text(), GRAPH_RULES, "exec"), rules)
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()
    assert list(vars(rules["of_rules"])["__signature__"].parameters) == ["wc", "attempt"]
    assert "__signature__" not in vars(os.path.join)


def test_the_rules_that_end_the_workflow_are_read_last():
    included = [line for line in (ROOT / "Snakefile").read_text().splitlines() if line.startswith("include:")]
    assert included[-1] == 'include: "rules/graph.smk"'


def test_only_what_cannot_be_made_again_waits_for_the_disk(tmp_path, flushed):
    atomic.write_if_changed(tmp_path / "kept", "x")
    assert {path.parent for path in flushed} == {tmp_path, tmp_path.parent}
    flushed.clear()
    atomic.write_if_changed(tmp_path / "remade", "x", is_durable=False)
    assert not flushed
    assert (tmp_path / "remade").read_text() == "x"


def test_files_of_the_plan_do_not_wait_for_the_disk(tmp_path, flushed):
    PlannedFiles().bring_up_to_date(tmp_path / "0000.tsv", "a\tb\n")
    assert not flushed
    assert (tmp_path / "0000.tsv").read_text() == "a\tb\n"


def test_what_every_job_asks_of_a_feature_is_found_once(monkeypatch):
    configuration = Configuration({}, ROOT / "config")

    def asked():
        kind, is_imported = configuration.feature_kind("clip_b32"), configuration.is_imported("clip_b32")
        return kind, is_imported, configuration.weight("clip_vit_b32")

    found = asked()
    assert found[:2] == ("visual", False)
    monkeypatch.setattr(compose, "merge", None)
    monkeypatch.setattr(compose, "validate", None)
    monkeypatch.setattr(configuration, "_chain", None)
    assert asked() == found
