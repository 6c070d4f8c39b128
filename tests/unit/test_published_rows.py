"""Published predictions that are scored by one line each, and the rows that come out of them."""

import re

import pytest

from tests.markdown_pages import ROOT, table_rows
from tests.submitted import imported, submit
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.datasets.source_files import stored_path
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit

CONFIGURATION = Configuration({}, ROOT / "config")
DATASETS = ("qvh", "charades_tvr")
NAMES = [(dataset, name) for dataset in DATASETS for name in CONFIGURATION.dataset(dataset).external]
PAGE = ROOT / "docs/published_rows.md"
UNSEEN = {"qd_detr_audio", "cg_detr_test"}
"""Files that nobody had at hand."""
COPIES = {
    "qd_detr": "predictions/qvh/qddetr_video_checkpoint_val.jsonl",
    "qd_detr_clip": "predictions/qvh/qddetr_QDDETR_onlyclip_val.jsonl",
    "cg_detr": "predictions/qvh/cgdetr_val.jsonl",
    "cg_detr_clip": "predictions/qvh/cgdetr_clip_val.jsonl",
    "vtg_gpt": "predictions/qvh/vtggpt_val.jsonl",
    "qvh calce_stage1": "annotations/qvhighlights/calce/val_stage2.json",
    "charades_tvr calce_stage1": "annotations/charades_sta/calce/test_stage2.json",
}
"""Where copies lie in a folder of data."""
ANNOTATIONS = {
    "qvh": ("qvhighlights", "annotations/qvhighlights/highlight_val_release.jsonl"),
    "charades_tvr": ("charades_tvr", "annotations/charades_sta/charades_sta_test_tvr_format.jsonl"),
}


def scored_by(dataset, name):
    """Return the prediction file, its rule set and its published row."""
    given = CONFIGURATION.dataset(dataset).external[name]
    rules = (given.rules or CONFIGURATION.dataset(dataset).evaluation.rules)[0]
    [row] = [row for row in CONFIGURATION.published(dataset, given.split, [rules]) if row.system == given.title]
    return given, rules, row


@pytest.mark.parametrize(("dataset", "name"), NAMES)
def test_every_published_file_has_an_address_and_a_row(dataset, name):
    given, _, row = scored_by(dataset, name)
    assert {"R1@0.5", "R1@0.7"} <= row.metrics.keys()
    owner, download = CONFIGURATION.single_downloads()[given.file]
    url = CONFIGURATION.dataset(owner).downloads[download].url
    assert re.search(r"github\.com/([\w-]+/[\w-]+)", row.source)[1] in url


def page_line(dataset, name):
    given, rules, row = scored_by(dataset, name)
    numbers = [f"{row.metrics[key]:.2f}" if key in row.metrics else "" for key in ("R1@0.5", "R1@0.7", "mAP")]
    compared = "not yet" if name in UNSEEN else "equal"
    return [
        f"`results/{dataset}/external/{name}/metrics.json`",
        given.title,
        given.split,
        f"`{rules}`",
        *numbers,
        compared,
    ]


def test_the_page_lists_them_with_their_rows():
    assert list(table_rows(PAGE.read_text())) == [page_line(*name) for name in NAMES]


def test_a_file_that_can_be_fetched_is_planned_and_announced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = Plan({}, ROOT / "config")
    assert plan.external.file("qvh", "cg_detr") == "data/qvh/predictions/cg_detr.jsonl"
    blocking, lines = plan.preflight.message(["results/qvh/external/cg_detr/metrics.json"])
    assert blocking == []
    assert "predictions cg_detr: about 2 MB" in "\n".join(lines)
    offered = {need.place: need for need in plan.preflight.needs(None).data()}
    assert offered["data/qvh/predictions/vtg_gpt.jsonl"].ways == (
        "snakemake --cores 1 data/qvh/predictions/vtg_gpt.jsonl",
    )


def test_an_unknown_prediction_file_is_answered_with_the_nearest_one_and_with_how_to_name_it():
    with pytest.raises(
        UserError, match=r"qvh\.yaml: external: .*cg_dter.* \(did you mean .cg_detr.\?.* external: \{cg_dter: \{file: "
    ):
        Plan({}, ROOT / "config").external.file("qvh", "cg_dter")


@pytest.mark.parametrize(("dataset", "name"), [name for name in NAMES if {name[1], " ".join(name)} & COPIES.keys()])
def test_the_published_predictions_give_the_published_row(request, dataset, name):
    data = request.config.getoption("--data")
    if data is None:
        pytest.skip("the published predictions are not in this repository; give a folder of them with --data DIR")
    given, rules, row = scored_by(dataset, name)
    source_format, annotations = ANNOTATIONS[dataset]
    split = AnnotatedSplit.read(imported(source_format, {given.split: stored_path(data / annotations)}), given.split)
    copy = stored_path(data / COPIES.get(name, COPIES.get(f"{dataset} {name}")))
    found = submit(rules, split, copy).scored().metrics
    assert {key: round(found[key], 2) for key in row.metrics} == row.metrics
