"""Selection and given answers in a system's settings: what cannot be is refused while planning."""

from pathlib import Path

import pytest

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning.plan import Plan

CONFIG = Path(__file__).resolve().parents[2] / "config"


def plan(system="img", dataset="demo", **settings) -> Plan:
    return Plan({"datasets": {dataset: {"systems": {system: settings}}}}, CONFIG)


def selection(tmp_path, monkeypatch, system="img", dataset="demo", **settings) -> dict:
    monkeypatch.chdir(tmp_path)
    return plan(system, dataset, **settings).systems._content(dataset, system)["config"]["selection"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric": "R1@0.55x"}, r"selection.metric: 'R1@0.55x' is no metric of the rule set span_index; did you mean"),
        ({"metric": ["mIoU", "mAP"]}, r"selection.metric: 'mAP' is no metric of the rule set span_index; .*mIoU"),
        ({"rules": "qvh"}, r"selection.rules: unknown rule set 'qvh'"),
        (
            {"rules": "captions", "metric": "CIDEr"},
            r"selection.rules: captions scores captions, which img does not",
        ),
        ({"loss": "total", "rules": "span_index"}, r"loss: chosen by losses, `rules` and `metric` have no meaning"),
    ],
)
def test_a_checkpoint_is_not_chosen_by_what_is_not_there(settings, message):
    with pytest.raises(UserError, match=message):
        plan(selection={"metric": [], **settings}).configuration.system("demo", "img")


def test_a_selection_is_completed_by_the_rule_set_that_the_system_is_evaluated_by(tmp_path, monkeypatch):
    found = selection(tmp_path, monkeypatch, evaluation={"rules": ["hirest_moments"]}, selection={"metric": []})
    assert (found["rules"], found["metric"], found["mode"]) == ("hirest_moments", ["R@0.5"], "max")
    found = selection(tmp_path, monkeypatch, selection={"metric": ["invalid"], "rules": "calce"})
    assert (found["rules"], found["mode"]) == ("calce", "min")
    found = selection(tmp_path, monkeypatch, selection={"metric": [], "loss": "total"})
    assert (found["loss"], found["mode"]) == (["total"], "min")


def test_a_threshold_that_selects_need_not_be_reported(tmp_path, monkeypatch):
    found = selection(tmp_path, monkeypatch, selection={"metric": "R1@0.6"})
    assert found["thresholds"] == [0.3, 0.5, 0.6, 0.7]


def test_what_selects_decides_the_training_and_what_is_reported_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def key(**settings):
        return plan(**settings).systems.train_key("demo", "img")

    assert key() == key(evaluation={"thresholds": [0.1]})
    others = [{"metric": "mIoU"}, {"mode": "min"}, {"ties": "first"}, {"rules": "hirest_moments", "metric": "R@0.5"}]
    keys = {key(), *(key(selection=other) for other in others)}
    assert len(keys) == 1 + len(others)


@pytest.mark.parametrize("task", ["moments", "steps"])
def test_predicted_answers_are_not_given_by_a_system_that_makes_none(task):
    settings = {"given": {task: "predicted"}, "settings": {"tasks": ["captions"], "captions_of": ["steps"]}}
    with pytest.raises(UserError, match=rf"given.{task}: predicted, but baseline answers no {task}"):
        plan("baseline", **settings).configuration.system("demo", "baseline")


def test_every_system_can_be_planned_on_every_dataset():
    configuration = Configuration({}, CONFIG)
    for system in configuration.known("systems"):
        for dataset in configuration.known("datasets"):
            assert configuration.system(dataset, system).system
