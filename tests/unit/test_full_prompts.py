"""CALCE's prompts from our import equal those from its own files; needs a folder of published files (`--data DIR`)."""

import json
from itertools import islice

import numpy as np
import pytest

from models.systems.calce.captions import read_srt
from models.systems.calce.config import Config
from models.systems.calce.prompt import layout, text
from models.systems.calce.system import System
from models.systems.interface import FeatureRows, Item, Told
from workflow_scripts.lib.configuration.layers import read_yaml
from workflow_scripts.lib.datasets.item_files import join_items
from workflow_scripts.lib.datasets.readers import read_annotations
from workflow_scripts.lib.datasets.source_files import read_json
from workflow_scripts.lib.datasets.srt import parse_srt

N_PROMPTS, N_FRAMES = 20, 75
# dataset of the configuration, split -> folder of the published files, our annotations, CALCE's annotations
CASES = {
    ("qvh", "val"): ("qvhighlights", "highlight_val_release.jsonl", "calce/val.json", "calce/val_stage2.json"),
    ("charades", "test"): (
        "charades_sta",
        "charades_sta_test_tvr_format.jsonl",
        "calce/test.json",
        "calce/test_stage2.json",
    ),
}
SRT = (
    "1\n00:00:01,280 --> 00:00:03,500\nSo, the WATER's   here\n\n"
    "2\n00:00:03,500 --> 00:00:05,000\n42\n\n"
    "3\n00:01:04,999 --> 00:01:07,041\nuh-no, and we go!\n"
)
"""Subtitles as Whisper's writer gives them, the form in which CALCE's are published."""


@pytest.mark.parametrize(("dataset", "split"), CASES)
def test_the_default_configuration_gives_the_published_prompts(request, dataset, split):
    folder = request.config.getoption("--data")
    if folder is None:
        pytest.skip("the published annotation files are not in this repository; give a folder of them with --data DIR")
    published, ours, theirs, items = CASES[dataset, split]
    folder = folder / "annotations" / published
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    root = request.config.rootpath / "config"
    chosen = read_yaml(root / "systems/calce_stage1.yaml")
    source = read_yaml(root / "datasets" / f"{chosen['datasets'][dataset]['annotations']}.yaml")["annotations"]
    found = read_annotations(source["format"], {split: folder / ours}, dataset)
    join_items(found, [folder / items])
    durations = {row["video_id"]: row["duration_s"] for row in found.videos}
    queries = {(row["video_id"], row["text"]): row for row in found.queries}
    system = System(Config.model_validate(chosen["settings"]), {}, {"visual": [3 * 224 * 224]})
    subtitles = [(line.start_s, line.end_s, line.text) for line in parse_srt(SRT, "made.srt")]

    entries = list(islice(read_json(folder / theirs), N_PROMPTS))
    assert len(entries) == N_PROMPTS
    for entry in entries:
        row = queries[entry["video"], entry["query"]]
        frames = FeatureRows(np.zeros((N_FRAMES, 3 * 224 * 224), np.uint8), times(entry["duration"]))
        told = Told(transcript=subtitles, noun_phrases=tuple(row["items"]))
        item = Item(
            row["query_id"], row["video_id"], row["text"], durations[row["video_id"]], {"visual": [frames]}, told=told
        )
        sample = system.sample(item, None)
        made = layout(
            sample["times_s"],
            [1] * N_FRAMES,
            sample["duration_s"],
            sample["captions"],
            text(sample["query"], sample["items"], sample["windows"]),
        )
        expected = layout(
            times(entry["duration"])[:, 0],
            [1] * N_FRAMES,
            entry["duration"],
            read_srt(SRT).captions,
            text(entry["query"], entry["items"]),
        )
        assert made.ids.tolist() == expected.ids.tolist(), json.dumps(entry)


def times(duration_s):
    """Times of the frames (T, 2) of a video, float32 seconds."""
    starts = np.linspace(0, duration_s, N_FRAMES + 1, dtype=np.float32)
    return np.stack([starts[:-1], starts[1:]], axis=1)
