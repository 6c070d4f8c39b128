"""Which rule sets score a dataset, and the published rows beside our numbers."""

import json
from pathlib import Path

import pytest
import yaml

from tests.markdown_pages import ROOT
from tests.unit.test_reporting import REFERENCES, metrics, page, row, timelines
from workflow_scripts.collect_metrics import join_seeds
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.lib.reporting.table import metrics_table

CONFIG = ROOT / "config"


def configuration(**datasets):
    return Configuration({"datasets": datasets}, CONFIG)


def plan(tmp_path, monkeypatch, **datasets):
    monkeypatch.chdir(tmp_path)
    return Plan({"datasets": datasets}, CONFIG)


def test_every_published_row_is_about_datasets_and_splits_that_there_are():
    rows = configuration()._read_published()
    assert len(rows) > 20
    for published in rows:
        for name in published.datasets:
            files = configuration().dataset(name).annotations.files
            assert published.split is None or published.split in files


def test_rows_are_shown_only_where_dataset_split_and_rule_set_are_theirs():
    found = configuration().published
    assert [r.system for r in found("activitynet", "val_2", ["2d_tan_strict"])] == ["2D-TAN, pool", "2D-TAN, conv"]
    assert found("activitynet", "val_1", ["2d_tan_strict"]) == []
    assert found("activitynet", "val_2", ["span_index"]) == []
    assert {r.rules for r in found("qvh", "val", RULE_SETS)} == {"qvhighlights", "calce"}


def test_img_is_scored_on_val_1_and_other_systems_of_activitynet_on_val_2():
    img = configuration().system("activitynet", "img")
    assert (img.splits.test, img.evaluation.rules) == (("val_1",), ("span_index",))
    assert configuration().dataset("activitynet").evaluation.rules[0] == "mmn_float32"
    assert all(
        "val_2" in (r.split or "val_2") for r in configuration()._read_published() if "activitynet" in r.datasets
    )


@pytest.mark.parametrize("path", sorted((CONFIG / "datasets").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_dataset_names_rule_sets_that_there_are(path):
    evaluation = configuration().dataset(path.stem).evaluation
    assert set(evaluation.rules) | set(evaluation.nms_thresholds) <= set(RULE_SETS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"evaluation": {"rules": ["qvhighlight"]}},
            'evaluation.rules: unknown rule set .*did you mean "qvhighlights"',
        ),
        ({"evaluation": {"nms_thresholds": {"mmn": 0.5}}}, "evaluation.nms_thresholds: unknown rule set 'mmn'"),
        ({"external": {"x": {"file": "f", "split": "val", "rules": ["mnn"]}}}, "external.x.rules: unknown rule set"),
        (
            {"external": {"x": {"file": "f", "split": "val", "rules": ["calce", "captions"]}}},
            "one file answers one task, these are of several: captions, moments",
        ),
        ({"external": {"x": {"file": "f"}}}, "external.x.split: missing; add it"),
    ],
)
def test_a_wrong_rule_set_is_named_with_its_place(settings, message):
    with pytest.raises(UserError, match=message):
        configuration(qvh=settings).dataset("qvh")


def test_a_wrong_row_is_named_with_its_place(tmp_path):
    content = yaml.safe_load((CONFIG / "published.yaml").read_text())
    content["rows"][1]["rules"] = "moment_detr"
    (tmp_path / "published.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"published.yaml: rows\[1\].rules: unknown rule set 'moment_detr'"):
        Configuration({}, tmp_path).published("qvh", "val", ["calce"])


def test_an_unknown_prediction_file_is_named_with_the_form_to_write(tmp_path, monkeypatch):
    known = {"moment_detr": {"file": "x.jsonl", "split": "val"}}
    with pytest.raises(UserError, match=r'did you mean "moment_detr"\?.*external: \{moment_det: \{file: path/to'):
        plan(tmp_path, monkeypatch, qvh={"external": known}).external.file("qvh", "moment_det")
    with pytest.raises(UserError, match=r"x\.jsonl: no such prediction file; correct external\.moment_detr\.file"):
        plan(tmp_path, monkeypatch, qvh={"external": known}).external.file("qvh", "moment_detr")


def test_a_prediction_file_is_scored_again_when_rules_or_published_rows_change(tmp_path, monkeypatch):
    (tmp_path / "x.jsonl").write_text("")
    given = {"file": "x.jsonl", "split": "val"}
    keys = {
        plan(tmp_path, monkeypatch, qvh={"external": {"x": given | change}}).external.key("qvh", "x")
        for change in ({}, {"rules": ["calce"]}, {"allow_missing": True}, {"split": "test"})
    }
    assert len(keys) == 4
    written = Path(plan(tmp_path, monkeypatch, qvh={"external": {"x": given}}).external.settings("qvh", "x"))
    assert json.loads(written.read_text())["published"][0]["system"] == "Moment-DETR"


def scored():
    """Metrics of a system with two rule sets and published rows of each."""
    section = {"official": {}, "queries": 2, "source": "someone/code", "options": {}, "cautions": []}
    numbers = {"R1@0.5": 50.0, "mIoU": 40.0}
    rows = {
        "metrics": numbers,
        "confidence": {"R1@0.5": [30.0, 70.0], "mIoU": [35.0, 45.0]},
        "lengths": {"short": {"R1@0.5": 25.0, "mIoU": 20.0, "queries": 1}},
    }
    base = {"datasets": ["demo"], "split": "test", "features": "I3D", "source": "paper, table 2"}
    published = [
        base | {"system": "Headliner", "rules": "span_index", "metrics": {"R1@0.5": 61.23}},
        base | {"system": "Other <b>", "rules": "calce", "metrics": {"mIoU": 44.44, "R1@0.9": 1.0}},
    ]
    rule_sets = {"span_index": section | rows, "calce": section | rows}
    return metrics(rules="span_index", rule_sets=rule_sets, confidence=rows["confidence"], published=published)


def test_the_table_shows_published_rows_and_intervals():
    lines = metrics_table(scored()).splitlines()
    [headline] = [line for line in lines if line.startswith("Headliner (published)")]
    assert headline.split()[-1] == "61.23"
    assert "  span_index: R1@0.5 50.00 [30.0, 70.0], mIoU 40.00 [35.0, 45.0]" in lines
    assert lines[lines.index("  calce: R1@0.5 50.00 [30.0, 70.0], mIoU 40.00 [35.0, 45.0]") + 1] == (
        "    Other <b> (published): mIoU 44.44, R1@0.9 1.00"
    )


def test_the_report_shows_intervals_lengths_and_published_rows():
    text = page(timelines(REFERENCES, [row("a", 0.0, 10.0)]), scored())
    part = text.split("<h3>Rule set calce</h3>")[1].split("</table>")[0]
    assert "<td>30.0 to 70.0</td>" in part
    assert "short moments" in part
    assert "Other &lt;b&gt;, published" in part
    assert "<td>44.44</td>" in part
    assert "Headliner" not in part
    assert "Headliner, published" in text
    assert "paper, table 2" in text


def test_with_several_seeds_intervals_stand_with_each_seed():
    joined = join_seeds({"seed0": scored(), "seed1": scored()})
    assert joined["confidence"] == joined["rule_sets"]["calce"]["confidence"] == {}
    assert joined["rule_sets"]["calce"]["metrics"] == {"R1@0.5": 50.0, "mIoU": 40.0}
    assert joined["seeds"]["seed1"]["confidence"] == scored()["confidence"]
    assert "calce: R1@0.5 50.00, mIoU 40.00" in metrics_table(joined)
    assert "Rule set calce" in page(timelines(REFERENCES, [row("a", 0.0, 10.0)]), joined)
