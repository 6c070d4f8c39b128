"""Rows of spoken queries on real Snakemake: annotations and sound files of one's own, and what a changed file costs."""

import json
from pathlib import Path

import pytest

from tests.unit.test_extract_spoken import write_sound
from tests.workflow.own_videos import add_clip
from tests.workflow.run_snakemake import Workflow
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.tables import read_table

pytestmark = pytest.mark.workflow

TARGET = "charades_speech/features/wav2vec2_tiny/index.parquet"
QUERIES = {
    "train": [["a.mp4", 3.0, [0.0, 1.0], "first words", "a_1.wav"]],
    "test": [
        ["c.mp4", 3.2, [0.5, 2.0], "other words", "c_1.wav"],
        ["c.mp4", 3.2, [1.0, 3.0], "words without sound", "c_2.wav"],
    ],
}


def spoken_dataset(folder: Path) -> Workflow:
    """Return the workflow with two clips, three spoken queries and the sound of two of them."""
    for name in ("videos", "sounds"):
        (folder / name).mkdir()
    for split, rows in QUERIES.items():
        (folder / f"{split}.json").write_text(json.dumps(rows))
    own = {
        "videos": "videos",
        "annotations": {"files": {split: f"{split}.json" for split in QUERIES}},
        "query_audio": "sounds",
        "n_shards": 2,
    }
    workflow = Workflow(folder, {"datasets": {"charades_speech": own}})
    for name in ("a.mp4", "c.mp4"):
        add_clip(workflow, name)
    write_sound(folder / "sounds/a_1.wav", 1)
    write_sound(folder / "sounds/c_1.wav", 2)
    return workflow


def rows_of(workflow: Workflow) -> dict[str, tuple]:
    """Return status and rows by sound file."""
    queries = read_table(workflow.results / "charades_speech/annotations/queries.parquet").to_pylist()
    store = FeatureStore((workflow.results / TARGET).parent)
    assert set(store.keys()) == {row["query_id"] for row in queries}
    return {row["audio_path"]: (store[row["query_id"]].status, store[row["query_id"]].values) for row in queries}


def test_every_spoken_query_has_a_row_and_only_changed_and_added_sound_files_are_encoded_again(tmp_path):
    workflow = spoken_dataset(tmp_path)
    workflow.finish(TARGET)
    first = rows_of(workflow)
    assert {name: status for name, (status, _) in first.items()} == {
        "a_1.wav": "ok",
        "c_1.wav": "ok",
        "c_2.wav": "failed",
    }
    assert first["a_1.wav"][1].shape == first["c_1.wav"][1].shape == (1, 32)
    assert (first["a_1.wav"][1] != first["c_1.wav"][1]).any()
    assert workflow.finish(TARGET).is_nothing_to_do

    write_sound(tmp_path / "sounds/a_1.wav", 3)
    write_sound(tmp_path / "sounds/c_2.wav", 4)
    workflow.finish(TARGET)
    assert workflow.reused_and_computed("charades_speech", "wav2vec2_tiny") == {"0000": (0, 1), "0001": (1, 1)}
    second = rows_of(workflow)
    assert {status for status, _ in second.values()} == {"ok"}
    assert (second["a_1.wav"][1] != first["a_1.wav"][1]).any()
    assert (second["c_1.wav"][1] == first["c_1.wav"][1]).all()


def test_a_dataset_that_does_not_say_where_its_sound_is_is_refused(tmp_path):
    workflow = spoken_dataset(tmp_path)
    workflow.config["datasets"]["charades_speech"]["query_audio"] = None
    refused = workflow.run(TARGET)
    assert refused.status != 0
    assert "config/datasets/charades_speech.yaml: query_audio: name the folder of the spoken queries" in refused.output
