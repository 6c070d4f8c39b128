"""IMG on the benchmarks: planned on small annotation files of every one, run on small videos of two forms."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.unit.made_clips import make_clip
from tests.workflow.run_snakemake import Workflow
from workflow_scripts.lib.store.tables import read_table

pytestmark = pytest.mark.workflow

SECONDS = 6
TINY = {
    "streams": {"visual": {"names": ["clip_tiny"]}, "audio": {"names": ["cnn14_tiny"]}},
    "settings": {
        "network": {"dim": 16, "heads": 2, "gru_layers": 1, "max_steps": 16},
        "train": {"epochs": 1, "batch_size": 4},
    },
}
TOKENS = {"text": {"names": ["clip_tokens_tiny"]}}


def qvh_row(number, video):
    window = [2 * (number % 2), 2 * (number % 2) + 2]
    saliency = {"relevant_clip_ids": [number % 2], "saliency_scores": [[3, 4, 2]]}
    row = {"qid": number, "query": f"number {number} is shown", "duration": SECONDS, "vid": video}
    return row | {"relevant_windows": [window], **saliency}


def hirest_entries(videos):
    bounds = {"relevant": True, "clip": True, "v_duration": SECONDS, "bounds": [1, 4], "steps": []}
    return {f"show number {i}": {f"{video}.mp4": bounds} for i, video in enumerate(videos)}


def text_rows(videos, first=0):
    return "".join(f"{video} 0.5 3.0##qid_{first + i}##person sits.\n" for i, video in enumerate(videos))


def benchmark_files(folder):
    """Write small annotation files of all benchmarks; return dataset -> split -> file."""
    folder.mkdir()
    qvh = {split: [f"abcdefgh{split[:2]}{n}_0.0_6.0" for n in range(2)] for split in ("train", "val", "test")}
    charades = {"train": ["AAAAA", "BBBBB"], "test": ["CCCCC"]}
    durations = {video: {"duration": SECONDS} for videos in charades.values() for video in videos}
    captions = {"duration": SECONDS, "timestamps": [[0, 2]], "sentences": ["A man sits."]}
    texts = {
        "durations.json": json.dumps(durations),
        "charades_train.txt": text_rows(charades["train"]),
        "charades_test.txt": text_rows(charades["test"], 2),
        "hirest_test_steps.json": "{}",
    }
    files = {
        "charades": {"train": "charades_train.txt", "test": "charades_test.txt", "durations": "durations.json"},
        "activitynet": {split: f"anet_{split}.json" for split in ("train", "val_1", "val_2")},
        "qvh": {split: f"qvh_{split}.jsonl" for split in qvh},
        "hirest": {split: f"hirest_{split}.json" for split in (*qvh, "test_steps")},
    }
    files["charades_am"] = files["charades"]
    for number, name in enumerate(files["activitynet"].values()):
        texts[name] = json.dumps({f"v_abcdefghi{number:02d}": captions})
    for split, videos in qvh.items():
        texts[f"qvh_{split}.jsonl"] = "".join(json.dumps(qvh_row(i, v)) + "\n" for i, v in enumerate(videos))
        texts[f"hirest_{split}.json"] = json.dumps(hirest_entries(videos))
    for name, text in texts.items():
        (folder / name).write_text(text)
    return {dataset: {key: str(folder / name) for key, name in named.items()} for dataset, named in files.items()}


def datasets(folder):
    (folder / "videos").mkdir()
    return {
        name: {"videos": str(folder / "videos"), "n_shards": 1, "on_bad_video": "skip", "annotations": {"files": files}}
        for name, files in benchmark_files(folder / "annotations").items()
    }


@pytest.mark.parametrize("system", ["img", "img_clean"])
def test_img_is_planned_on_every_benchmark(tmp_path, system):
    workflow = Workflow(tmp_path, {"datasets": datasets(tmp_path)})
    targets = {name: f"{name}/{system}/metrics.json" for name in workflow.config["datasets"]}
    planned = workflow.plan(*targets.values(), f"demo/{system}/metrics.json")
    assert planned.status == 0, planned.output
    assert planned.rules["collect_metrics"] == planned.rules["train"] == len(targets) + 1
    assert "results/charades/features/i3d_charades/index.parquet" in planned.output
    assert "results/activitynet/features/vggish/index.parquet" in planned.output
    # The word vectors of the datasets with published settings, once for all.
    assert planned.output.count("output: weights/glove.840B.300d.zip") == 1


@pytest.mark.slow
def test_img_runs_on_the_videos_of_two_benchmarks_and_a_published_checkpoint_takes_its_place(tmp_path):
    found = {name: settings for name, settings in datasets(tmp_path).items() if name in ("qvh", "hirest")}
    for settings in found.values():
        settings["systems"] = {"img": {**TINY, "streams": {**TINY["streams"], **TOKENS}}}
    rng = np.random.default_rng(0)
    for number, split in enumerate(("train", "val", "test")):
        for n in range(2):
            # One training video is silent.
            noise = rng.integers(-3000, 3000, (1, 16000 * SECONDS)).astype(np.int16)
            sound = None if (number, n) == (0, 1) else (0.0, noise)
            make_clip(tmp_path / "videos" / f"abcdefgh{split[:2]}{n}_0.0_6.0.mp4", 10 * SECONDS + n, sound=sound)
    workflow = Workflow(tmp_path, {"datasets": found})
    targets = [f"{name}/img/metrics.json" for name in found]
    workflow.finish(*targets, "qvh/img/report.html")
    qvh, hirest = (json.loads((workflow.results / target).read_text()) for target in targets)
    assert (qvh["split"], hirest["split"]) == ("test", "val")
    assert {"R1@0.5", "R1@0.7", "mAP@0.5"} <= qvh["metrics"].keys()
    assert [*qvh["rule_sets"]] == ["qvhighlights", "span_index"]
    assert [*hirest["rule_sets"]] == ["hirest_moments", "span_index"]
    for metrics in (qvh, hirest):
        counts = metrics["counts"]
        assert (counts["queries"], counts["evaluated"], counts["skipped"], counts["unreadable"]) == (2, 2, {}, 0)
        assert metrics["predictors"].keys() == {"av", "v", "a"}
        assert 0 <= metrics["query_scores"]["audio_importance"]["mean"] <= 1
    assert "audio importance" in (workflow.results / "qvh/img/report.html").read_text()
    sounds = read_table(workflow.results / "qvh/features/cnn14_tiny/index.parquet").to_pylist()
    assert [row["status"] for row in sounds].count("no_audio") == 1
    assert workflow.finish(*targets).is_nothing_to_do

    trained = load_file(workflow.results / "qvh/img/seed0/checkpoint.safetensors")
    state = {name.removeprefix("network."): value for name, value in trained.items() if name.startswith("network.")}
    torch.save(state, tmp_path / "IMG_9.t7")
    found["qvh"]["systems"]["img"]["checkpoint_file"] = str(tmp_path / "IMG_9.t7")
    imported = workflow.with_config({"datasets": found}).finish("qvh/img/metrics.json")
    assert imported.rules == {"import_checkpoint": 1, "predict": 1, "evaluate": 1, "collect_metrics": 1}
    again = json.loads((workflow.results / "qvh/img/metrics.json").read_text())
    assert again["metrics"] == qvh["metrics"]
    assert again["predictors"] == qvh["predictors"]
    assert again["provenance"]["checkpoint"]["imported"]["file"] == "IMG_9.t7"


def test_a_published_checkpoint_that_is_not_there_is_named(tmp_path):
    found = datasets(tmp_path)
    found["charades"]["systems"] = {"img": {"checkpoint_file": "IMG_9.t7"}}
    planned = Workflow(tmp_path, {"datasets": found}).plan("charades/img/metrics.json")
    assert planned.status != 0
    assert "checkpoint_file: IMG_9.t7 does not exist; put the published checkpoint there" in planned.output
