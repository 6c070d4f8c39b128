"""A prediction file that somebody brings, scored by the real workflow: no video, no training."""

import json

import pytest

from tests.unit.made_benchmarks import qvh_files, write_lines
from tests.unit.plain_metrics import plain_hirest_moments, plain_moments, plain_saliency
from tests.workflow.run_snakemake import ROOT, Workflow
from tests.workflow.test_bad_input import the_error
from workflow_scripts.lib.store.tables import read_table

pytestmark = pytest.mark.workflow

HIREST = ROOT / "tests/data/annotations/hirest"


@pytest.fixture
def hirest(tmp_path):
    """The embedded excerpt of HiREST with predictions for its training and test split."""
    truth = json.loads((HIREST / "all_data_train.json").read_text())
    answers = {
        prompt: {
            name: {"bounds": [entry["bounds"][0] + 2, entry["bounds"][1] + 2]}
            for name, entry in videos.items()
            if entry["clip"]
        }
        for prompt, videos in truth.items()
    }
    answers = {prompt: videos for prompt, videos in answers.items() if videos}
    (tmp_path / "moments.json").write_text(json.dumps(answers))
    (tmp_path / "val.json").write_text("{}")
    names = {"train": "all_data_train.json", "test": "all_data_test.json"}
    names |= {"test_steps": "formatted_moment_evaluation_gt.json"}
    dataset = {
        "annotations": {
            "files": {"val": str(tmp_path / "val.json")} | {split: str(HIREST / name) for split, name in names.items()}
        },
        "external": {
            "shifted": {"file": "moments.json", "split": "train"},
            "hopeless": {"file": "moments.json", "split": "test"},
        },
    }
    return Workflow(tmp_path, {"datasets": {"hirest": dataset}}), answers, truth


def test_a_prediction_file_is_scored_without_video_or_training(hirest):
    workflow, answers, truth = hirest
    run = workflow.finish("hirest/external/shifted/metrics.json")
    assert set(run.rules) == {"import_annotations", "evaluate_external"}
    folder = workflow.results / "hirest/external/shifted"
    metrics = json.loads((folder / "metrics.json").read_text())
    n_videos = sum(map(len, answers.values()))
    assert metrics["rules"] == "hirest_moments"
    assert metrics["metrics"] == pytest.approx(plain_hirest_moments(answers, truth))
    assert metrics["counts"]["evaluated"] == n_videos
    assert "shifted on hirest (train, external protocol), percent" in run.output
    assert read_table(folder / "per_query.parquet").num_rows == 2 * n_videos
    assert workflow.plan("hirest/external/shifted/metrics.json").is_nothing_to_do


def test_placeholder_labels_are_refused_and_the_split_to_use_is_named(hirest):
    workflow, _, _ = hirest
    message = the_error(workflow.run("hirest/external/hopeless/metrics.json"))
    assert "PlaceholderReference: the published labels of split 'test' are placeholders" in message
    assert "Score the split val instead" in message


def test_a_file_that_nobody_named_and_one_that_is_gone_end_before_any_job(hirest):
    workflow, _, _ = hirest
    run = workflow.run("hirest/external/shiftd/metrics.json")
    assert 'did you mean "shifted"' in the_error(run)
    assert not run.rules
    (workflow.folder / "moments.json").unlink()
    run = workflow.run("hirest/external/shifted/metrics.json")
    assert "moments.json: no such prediction file" in the_error(run)


def test_a_submission_to_qvhighlights_is_scored_and_its_faults_are_named(tmp_path):
    source, predictions, annotations = qvh_files(tmp_path)
    files = dict.fromkeys(("train", "val", "test"), str(source))
    for split in ("train", "test"):
        files[split] = str(write_lines(tmp_path / f"{split}.jsonl", []))
    write_lines(tmp_path / "submission.jsonl", predictions)
    external = {"made": {"file": "submission.jsonl", "split": "val", "rules": ["qvhighlights"]}}
    workflow = Workflow(tmp_path, {"datasets": {"qvh": {"annotations": {"files": files}, "external": external}}})
    run = workflow.finish("qvh/external/made/metrics.json")
    metrics = json.loads((workflow.results / "qvh/external/made/metrics.json").read_text())
    moments, saliency = plain_moments(predictions, annotations), plain_saliency(predictions, annotations)
    assert metrics["metrics"]["R1@0.5"] == pytest.approx(moments["full"]["MR-R1"][0])
    assert metrics["metrics"]["mAP@0.75"] == pytest.approx(moments["full"]["MR-mAP"][5])
    assert metrics["metrics"]["HL-mAP"] == pytest.approx(saliency[4][0])
    assert "Moment-DETR (published)" in run.output
    assert metrics["published"][0]["source"].startswith("github.com/jayleicn/moment_detr")
    predictions[3]["pred_relevant_windows"][0][0] = float("nan")
    write_lines(tmp_path / "submission.jsonl", predictions)
    before = (workflow.results / "qvh/external/made/metrics.json").read_bytes()
    message = the_error(workflow.run("qvh/external/made/metrics.json"))
    assert "NonFiniteSpan: windows with a start or end that is not a finite number: query qvh/val/3 in " in message
    assert "submission.jsonl:4 (rank 0)" in message
    left = workflow.results / "qvh/external/made/metrics.json"
    assert not left.exists() or left.read_bytes() == before
