"""The ways in which real users come, each from an empty folder: the internet is a server on this machine."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch
import yaml

from tests.unit.made_clips import make_clip
from tests.workflow.run_snakemake import ROOT, Workflow
from tests.workflow.test_bad_input import the_error
from tests.workflow.test_calce import FIRST_STAGE
from tests.workflow.test_mrnet import SMALL
from workflow_scripts.lib.configuration.layers import merge
from workflow_scripts.lib.predictions.answer_tables import read_answers
from workflow_scripts.lib.store.tables import read_table

pytestmark = pytest.mark.workflow

SECONDS = 6
SMALL_IMG = {
    "network": {"dim": 16, "heads": 2, "gru_layers": 1, "max_steps": 16},
    "train": {"epochs": 1, "batch_size": 4},
}
SMALL_QUAG = {
    "settings": {
        "network": {
            **{"width": 96, "fusion_width": 96, "heads": 4},
            **{"decoder_layers": 1, "ffn_dim": 192, "start": "random"},
        },
        "data": {"missing_rows": "repeat_last"},
        "train": {"epochs": 1, "batch_size": 4},
    },
    "runtime": {"gpu": 0, "threads": 1, "mem_mb": 4000},
}
WORDS = ("person", "sits", "down", "opens", "door")


def shipped(dataset):
    """Return what the shipped file of a dataset says."""
    return yaml.safe_load((ROOT / "config/datasets" / f"{dataset}.yaml").read_text())


def published(world, dataset, contents):
    """Serve annotation files at their official addresses; return the dataset's settings with their checksums."""
    downloads = shipped(dataset)["downloads"]
    stated = {name: world.serve(downloads[name]["url"], content).stated for name, content in contents.items()}
    return {"n_shards": 1, "downloads": stated}


def workflow(folder, world, **settings):
    return Workflow(folder, world.config() | settings)


def charades_files(videos):
    """Charades-STA in the form of IMG's repository: numbered sentences, and durations apart."""
    lines = {
        split: "".join(
            f"{v} 0.5 3.0##qid_{n}##person sits {WORDS[n % 5]}.\n" for n, v in enumerate(videos) if n % 2 == odd
        )
        for odd, split in enumerate(("train", "test"))
    }
    durations = {video: {"duration": SECONDS + 0.5} for video in videos}
    return {name: text.encode() for name, text in (*lines.items(), ("durations", json.dumps(durations)))}


def zipped_word_vectors():
    rows = (f"{word} {' '.join(f'{number / 300:.3f}' for number in range(300))}" for word in WORDS)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("glove.840B.300d.txt", "\n".join(rows) + "\n")
    return file.getvalue()


def write_rows(folder, videos, n_rows, dim):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(dim)
    for video in videos:
        np.save(folder / f"{video}.npy", rng.normal(size=(n_rows, dim)).astype(np.float32))


def test_published_features_alone_train_and_evaluate(tmp_path, world):
    """IMG on Charades-STA: no video, no annotation, no weights; the feature files of its authors."""
    videos = ["AAAAA", "BBBBB", "CCCCC", "DDDDD"]
    world.serve("https://nlp.stanford.edu/data/glove.840B.300d.zip", zipped_word_vectors())
    charades = published(world, "charades", charades_files(videos))
    asked = workflow(tmp_path, world, datasets={"charades": charades}, systems={"img": {"settings": SMALL_IMG}})
    target = "charades/img_published_features/metrics.json"

    message = the_error(asked.run(target))
    assert "data/charades/features/vslnet does not exist" in message
    assert "data/charades/features/img/audio does not exist" in message
    assert "weights glove_840b: about 2 GB" in message
    assert not (tmp_path / "data").exists()
    planned = asked.plan(target)
    assert planned.status == 0, planned.output
    assert planned.output.count("preflight: config/features/") == 2

    write_rows(tmp_path / "data/charades/features/vslnet", videos, 13, 1024)
    write_rows(tmp_path / "data/charades/features/img/audio", videos, 8, 2048)
    run = asked.finish(target)
    assert not {"probe_media", "collect_manifest", "sample_frames"} & run.rules.keys()
    metrics = json.loads((asked.results / target).read_text())
    counts = metrics["counts"]
    assert (counts["queries"], counts["evaluated"], counts["skipped"]) == (2, 2, {})
    assert metrics["inputs"]["features"]["visual"] == ["i3d_charades_published"]
    assert asked.run(target).is_nothing_to_do

    # A file that is missing costs its own video, and is counted.
    (tmp_path / "data/charades/features/vslnet/DDDDD.npy").unlink()
    asked.finish(target)
    metrics = json.loads((asked.results / target).read_text())
    assert metrics["counts"]["skipped"] == {"i3d_charades_published failed": 1}


def hirest_files(videos):
    steps = [{"index": n, "heading": f"do part {n}", "absolute_bounds": [n, n + 1]} for n in range(1, 4)]
    entry = {"relevant": True, "clip": True, "v_duration": SECONDS, "bounds": [1, 4], "steps": steps}
    contents = {
        split: json.dumps({f"make thing {video}": {f"{video}.mp4": entry} for video in named}).encode()
        for split, named in (("train", videos[:2]), ("val", videos[2:3]), ("test", videos[3:]))
    }
    captions = [{"start": n, "end": n + 1, "sentence": f"do part {n}"} for n in range(1, 4)]
    return contents | {"test_steps": json.dumps({f"{videos[3]}.mp4": {"captions": captions}}).encode()}


def test_hirest_trains_on_published_features_and_transcripts_alone(tmp_path, world):
    videos = [f"abcdefghi{number:02d}" for number in range(4)]
    hirest = published(world, "hirest", hirest_files(videos))
    quag = {"streams": {"text": {"names": ["eva_clip_text_tiny"]}}, **SMALL_QUAG}
    asked = workflow(tmp_path, world, datasets={"hirest": hirest}, systems={"quag": quag})
    (tmp_path / "data/hirest/features/eva_clip").mkdir(parents=True)
    (tmp_path / "data/hirest/asr").mkdir(parents=True)
    for video in videos:
        torch.save(torch.randn(SECONDS, 1024), tmp_path / f"data/hirest/features/eva_clip/{video}.mp4.pt")
        (tmp_path / f"data/hirest/asr/{video}.srt").write_text("1\n00:00:01,000 --> 00:00:03,000\nfirst do part one\n")
    target = "hirest/quag_published_features/metrics.json"
    run = asked.finish(target)
    assert "probe_media" not in run.rules
    metrics = json.loads((asked.results / target).read_text())
    assert metrics["split"] == "val"


def test_videos_of_a_corpus_are_ranked_without_training_and_without_videos(tmp_path, world):
    videos, others = [f"abcdefghi{number:02d}" for number in range(4)], ["distractor1", "distractor2"]
    negatives = {f"negative video_{n}": {f"{video}.mp4": {}} for n, video in enumerate(others)}
    categories = {"prompt_to_cat": {f"make thing {video}": "Food" for video in videos}}
    hirest = published(world, "hirest", hirest_files(videos) | {"categories": json.dumps(categories).encode()})
    corpus = published(world, "hirest_corpus", {"test_negatives": json.dumps(negatives).encode()})
    streams = {"text": {"names": ["eva_clip_text_tiny"]}}
    asked = workflow(
        tmp_path,
        world,
        datasets={"hirest": hirest, "hirest_corpus": corpus},
        systems={"zero_shot_eva": {"streams": streams}},
    )
    folder = tmp_path / "data/hirest/features/eva_clip_32_frames"
    folder.mkdir(parents=True)
    for video in [videos[3], *others]:
        torch.save(torch.randn(32, 48), folder / f"{video}.mp4.pt")
    target = "hirest/zero_shot_eva_published_features/metrics.json"
    run = asked.finish(target)
    assert "probe_media" not in run.rules
    metrics = json.loads((asked.results / target).read_text())
    assert metrics["metrics"]["R@50"] == 100.0
    assert metrics["groups"].keys() == {"Food"}
    answers = read_answers(asked.results / "hirest/zero_shot_eva_published_features/seed0/test", "videos").to_pylist()
    assert {row["video_id"] for row in answers} == {videos[3], *others}


def timed(name, number, **entry):
    """One video in the form of ActivityNet Captions and TACoS, where times may be frame numbers."""
    scale = entry.get("fps", 1)
    spans = [[0, round(2 * scale)], [round(1 * scale), round(4 * scale)]]
    return {
        name: {**entry, "timestamps": spans, "sentences": [f"person sits {WORDS[number % 5]}", "person opens door"]}
    }


def activitynet_files(videos):
    parts = {"train": videos[:2], "val_1": videos[2:3], "val_2": videos[3:]}
    return {
        split: json.dumps(
            {k: v for n, name in enumerate(own) for k, v in timed(name, n, duration=SECONDS).items()}
        ).encode()
        for split, own in parts.items()
    }


def tacos_files(videos):
    parts = {"train": videos[:2], "val": videos[2:3], "test": videos[3:]}
    frames = {"num_frames": 10 * SECONDS, "fps": 10}
    return {
        split: json.dumps(
            {k: v for n, name in enumerate(own) for k, v in timed(f"{name}.avi", n, **frames).items()}
        ).encode()
        for split, own in parts.items()
    }


SMALL_MRNET = {
    "streams": {"visual": {"names": ["c3d_tiny"]}, "text": {"names": ["minilm_mean"]}},
    "settings": {"network": SMALL | {"feature_dim": 16}, "train": {"epochs": 1, "batch_size": 2, "milestones": [1]}},
    "selection": {"every_epochs": 1},
}
SMALL_IMG_ON_VIDEOS = {
    "streams": {"visual": {"names": ["clip_tiny"]}, "audio": {"names": ["cnn14_tiny"]}},
    "settings": SMALL_IMG,
}
PAIRS = {
    "tacos/mrnet": (tacos_files, [f"s1{number}-d01" for number in range(4)], ".avi", SMALL_MRNET),
    "activitynet/mrnet": (activitynet_files, [f"v_abcdefghi{number:02d}" for number in range(4)], ".mp4", SMALL_MRNET),
    "activitynet/img": (
        activitynet_files,
        [f"v_abcdefghi{number:02d}" for number in range(4)],
        ".mp4",
        SMALL_IMG_ON_VIDEOS,
    ),
    "charades/mrnet": (charades_files, ["AAAAA", "BBBBB", "CCCCC", "DDDDD"], ".mp4", SMALL_MRNET),
    "charades/img": (charades_files, ["AAAAA", "BBBBB", "CCCCC", "DDDDD"], ".mp4", SMALL_IMG_ON_VIDEOS),
}
"""What annotates a benchmark, its videos, and the small system that is tried on it."""


def from_videos(folder, world, pair):
    """Make a benchmark's videos, serve everything else, and return the workflow and what is to be made."""
    (dataset, system), (files, videos, suffix, small) = pair.split("/"), PAIRS[pair]
    world.serve("https://nlp.stanford.edu/data/glove.840B.300d.zip", zipped_word_vectors())
    settings = published(world, dataset, files(videos)) | {"systems": {system: small}}
    place = folder / shipped(dataset)["videos"]
    place.mkdir(parents=True)
    sound = np.random.default_rng(0).integers(-3000, 3000, (1, 16000 * SECONDS)).astype(np.int16)
    for number, video in enumerate(videos):
        make_clip(place / f"{video}{suffix}", 10 * SECONDS + number % 2, sound=(0.0, sound))
    return workflow(folder, world, datasets={dataset: settings}), f"{pair}/metrics.json"


@pytest.mark.parametrize(
    "pair", ["tacos/mrnet", *(pytest.param(p, marks=pytest.mark.slow) for p in PAIRS if p != "tacos/mrnet")]
)
def test_a_benchmark_from_its_videos_alone(tmp_path, world, pair):
    asked, target = from_videos(tmp_path, world, pair)
    run = asked.finish(target)
    assert {"probe_media", "import_annotations", "train"} <= run.rules.keys()
    metrics = json.loads((asked.results / target).read_text())
    assert metrics["counts"]["evaluated"] == metrics["counts"]["queries"] > 0
    assert asked.run(target).is_nothing_to_do


def qvh_rows(number, videos):
    return "".join(
        json.dumps(
            {
                "qid": number + n,
                "query": f"a man opens door {n}",
                "duration": SECONDS,
                "vid": video,
                "relevant_windows": [[0, 4]],
                "relevant_clip_ids": [0, 1],
                "saliency_scores": [[3, 4, 2], [1, 1, 1]],
            }
        )
        + "\n"
        for n, video in enumerate(videos)
    ).encode()


def items_of(first, videos):
    rows = [
        {
            "qid": f"QVHighlight_{first + n}",
            "video": video,
            "query": f"a man opens door {n}",
            "duration": SECONDS,
            "items": ["man", "door"],
            "relevant_windows": [[0, 4]],
        }
        for n, video in enumerate(videos)
    ]
    return json.dumps(rows).encode()


def test_calce_on_qvhighlights_from_nothing_but_videos(tmp_path, world):
    """The headline command with a small network; annotations and published noun phrases are fetched by themselves."""
    named = {split: [f"abcdefg{split[:2]}{n:02d}_0.0_6.0" for n in range(2)] for split in ("train", "val", "test")}
    first = {"train": 0, "val": 100, "test": 200}
    qvh = published(world, "qvh", {split: qvh_rows(first[split], videos) for split, videos in named.items()})
    items = {f"calce_{split}": items_of(first[split], videos) for split, videos in named.items()}
    qvh_calce = published(world, "qvh_calce", items)
    small = {name: dict(shipped("demo")["systems"][name]) for name in ("calce_stage1", "calce")}
    first_stage = merge(small["calce_stage1"], FIRST_STAGE | {"transcript": None, "queries": {"kinds": None}})
    systems = {"calce_stage1": first_stage, "calce": merge(small["calce"], {"settings": {"train": {"epochs": 1}}})}
    for system in systems.values():
        system.get("evaluation", {}).pop("group_by", None)
    asked = workflow(tmp_path, world, datasets={"qvh": qvh, "qvh_calce": qvh_calce}, systems=systems)
    target = "qvh/calce/metrics.json"
    assert the_error(asked.run(target)).startswith("data/qvh/videos: no such folder.")
    (tmp_path / "data/qvh/videos").mkdir(parents=True)
    for videos in named.values():
        for video in videos:
            make_clip(tmp_path / f"data/qvh/videos/{video}.mp4", 10 * SECONDS)
    asked.finish(target)
    metrics = json.loads((asked.results / target).read_text())
    assert metrics["inputs"]["annotations"] == "qvh_calce"
    queries = read_table(asked.results / "qvh_calce/annotations/queries.parquet").to_pylist()
    assert {tuple(row["items"]) for row in queries} == {("man", "door")}
