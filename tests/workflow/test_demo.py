"""The demo from nothing to metrics and report, and what a second call does after this or that was changed."""

import copy
import json

import pytest

from tests.report_pages import data_of
from tests.workflow.conftest import TARGETS, TINY_DEMO
from workflow_scripts.lib.configuration.recipe import random_seed
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.shards import shard_name, shard_of
from workflow_scripts.lib.store.tables import read_table

pytestmark = pytest.mark.workflow

KINDS = ["both", "picture", "sound"]
SCORES = ["R1@0.3", "R1@0.5", "R1@0.7", "mIoU"]
OF_A_SYSTEM = {"train", "predict", "evaluate", "collect_metrics", "report"}


def changed(**sections):
    """Settings that differ from the finished demo's in these sections."""
    made = copy.deepcopy(TINY_DEMO)
    for name, section in sections.items():
        made[name] = {**made.get(name, {}), **section}
    return {"datasets": {"demo": made}}


def test_the_metrics_file_says_how_good_how_many_and_from_what(demo):
    metrics = json.loads((demo.workflow.results / "demo/img/metrics.json").read_text())
    assert (metrics["dataset"], metrics["system"], metrics["split"]) == ("demo", "img", "test")
    assert metrics["protocol"] == "published"
    scored = [metrics, metrics["ablations"]["audio"], metrics["ablations"]["visual"]]
    for scores in [*scored, metrics["baselines"]["best_constant"], metrics["baselines"]["floor"]]:
        assert list(scores["metrics"]) == SCORES
        assert list(scores["groups"]) == KINDS
        assert all(0 <= value <= 100 for value in scores["metrics"].values())
    queries = read_table(demo.workflow.results / "demo/annotations/queries.parquet").to_pylist()
    asked = [row for row in queries if row["split"] == "test" and json.loads(row["extra_json"])["kind"] in KINDS]
    assert 0 < len(asked) < len(queries)
    counts = {"queries": len(asked), "evaluated": len(asked), "skipped": {}}
    without = {"audio: no_audio": 2}
    assert metrics["counts"] == counts | {"unreadable": 0, "without": without, "tasks": {"moments": counts}}


def test_the_metrics_file_tells_where_its_numbers_come_from(demo):
    provenance = json.loads((demo.workflow.results / "demo/img/metrics.json").read_text())["provenance"]
    assert set(provenance["weights"]) == {"clip_tiny", "cnn14_tiny", "minilm_tokens"}
    assert random_seed(provenance["weights"]["clip_tiny"]) is not None
    assert random_seed(provenance["weights"]["minilm_tokens"]) is None
    assert set(provenance["feature_recipes"]) == set(provenance["weights"])
    assert provenance["checkpoint"]["dataset"] == "demo"
    assert provenance["packages"]["torch"]
    assert provenance["code_revision"]
    assert set(provenance["wall_seconds"]) == {"train", "predict"}


def test_the_report_holds_table_timelines_and_the_note_on_random_weights(demo):
    report = (demo.workflow.results / "demo/img/report.html").read_text()
    for text in (
        "best constant span",
        "baseline, learnt",
        "img, audio set to zero",
        "img, visual set to zero",
        *SCORES,
    ):
        assert text in report
    assert "These features have random weights" in report
    entries = data_of(report)["entries"]
    assert len(entries) > 1
    assert all(entry["predicted"][0] for entry in entries)
    pictures = [picture for entry in entries for _, _, picture in entry["pictures"]]
    assert all((demo.workflow.results / "demo/img" / picture).is_file() for picture in pictures)
    assert "img on demo (test, published protocol)" in demo.run.output


def test_every_table_of_the_canon_is_there_and_nothing_half_written(demo):
    results = demo.workflow.results / "demo"
    names = sorted(path.stem for path in (results / "annotations").glob("*.parquet"))
    assert names == ["captions", "moments", "queries", "saliency", "steps", "transcripts", "videos"]
    assert [path for path in results.rglob("*") if ".tmp-" in path.name or ".journal" in path.name] == []


def test_a_second_call_has_nothing_to_do(demo, tmp_path):
    assert demo.copy(tmp_path).finish(*TARGETS).is_nothing_to_do


def test_a_changed_parameter_of_a_feature_reruns_that_feature_and_what_depends_on_it(demo, tmp_path):
    slower = changed(features={"clip_tiny": {"sampling": {"rate": 1}}})
    planned = demo.copy(tmp_path, slower).plan(*TARGETS)
    assert set(planned.rules) == {"sample_frames", "extract_visual", "index_features", *OF_A_SYSTEM}
    assert planned.rules["extract_visual"] == planned.rules["sample_frames"] == TINY_DEMO["n_shards"]
    touched = {path.split("/")[1] for path in planned.outputs if path.startswith("features/")}
    assert touched == {"clip_tiny"}


def test_how_a_job_is_run_is_no_reason_to_run_it_again(demo, tmp_path):
    runtime = {"batch_size": 7, "threads": 2, "mem_mb": 5000}
    features = {name: {"runtime": runtime} for name in ("clip_tiny", "cnn14_tiny", "minilm_tokens")}
    elsewhere = {**changed(features=features), "device": "cpu", "paths": {"feature_cache": "cache"}}
    assert demo.copy(tmp_path, elsewhere).plan(*TARGETS).is_nothing_to_do


def test_a_changed_evaluation_is_reported_without_training_again(demo, tmp_path):
    system = {**TINY_DEMO["systems"]["img"], "evaluation": {"thresholds": [0.1, 0.5]}}
    again = demo.copy(tmp_path, changed(systems={"img": system}))
    done = again.finish("demo/img/metrics.json")
    assert set(done.rules) == {"evaluate", "collect_metrics"}
    metrics = json.loads((again.results / "demo/img/metrics.json").read_text())
    assert list(metrics["metrics"]) == ["R1@0.1", "R1@0.5", "mIoU"]


def test_an_added_video_is_computed_alone_and_the_rows_of_the_others_are_kept(demo, tmp_path):
    added = f"demo_train_{TINY_DEMO['generate']['train']:03d}"
    home = shard_of(added, TINY_DEMO["n_shards"])
    home, other = shard_name(home, 2), shard_name(1 - home, 2)
    larger = demo.copy(tmp_path, changed(generate={"train": TINY_DEMO["generate"]["train"] + 1}))
    known = {shard: larger.ids_of_shard("demo", shard) for shard in (home, other)}
    larger.finish("demo/features/clip_tiny/index.parquet", "demo/features/cnn14_tiny/index.parquet")
    for feature in ("clip_tiny", "cnn14_tiny"):
        assert larger.reused_and_computed("demo", feature) == {
            home: (len(known[home]), 1),
            other: (len(known[other]), 0),
        }
        store = FeatureStore(larger.results / "demo/features" / feature)
        assert sorted(store) == sorted([*known[home], *known[other], added])
    assert larger.ids_of_shard("demo", home) == sorted([*known[home], added])
    assert set(larger.plan(*TARGETS).rules) >= {"extract_text", *OF_A_SYSTEM}
