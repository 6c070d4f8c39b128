"""Rules about annotations: the two numberings of Charades-STA, and files of another length than annotated."""

import json

import pytest

from tests.workflow.own_videos import own_videos, query
from tests.workflow.run_snakemake import Workflow
from workflow_scripts.lib.store.tables import read_table

pytestmark = pytest.mark.workflow

TEXT = "AAAAA 0.0 2.0##qid_0##person sits.\nAAAAA 1.0 2.0##qid_1##late.\nBBBBB 0.0 1.0##qid_2##person sits.\n"
TVR = [
    {"qid": 0, "query": "person sits.", "duration": 3.0, "vid": "AAAAA", "relevant_windows": [[0.0, 2.0]]},
    {"qid": 1, "query": "person sits.", "duration": 3.0, "vid": "BBBBB", "relevant_windows": [[0.0, 1.0]]},
]


@pytest.fixture
def charades(tmp_path):
    """Both families of annotations of two videos, which are not there."""
    (tmp_path / "videos").mkdir()
    durations = {name: {"duration": 3.0} for name in ("AAAAA", "BBBBB", "CCCCC")}
    last = {"qid": 9, "query": "x", "duration": 3.0, "vid": "CCCCC", "relevant_windows": [[0, 1]]}
    contents = {
        "train.txt": TEXT,
        "test.txt": "CCCCC 0.0 2.0##qid_9##x\n",
        "durations.json": json.dumps(durations),
        "train.jsonl": "\n".join(map(json.dumps, TVR)),
        "test.jsonl": json.dumps(last),
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    files = {
        "charades": {"train": "train.txt", "test": "test.txt", "durations": "durations.json"},
        "charades_tvr": {"train": "train.jsonl", "test": "test.jsonl"},
    }
    datasets = {
        dataset: {
            "videos": str(tmp_path / "videos"),
            "n_shards": 1,
            "annotations": {"files": {split: str(tmp_path / name) for split, name in named.items()}},
        }
        for dataset, named in files.items()
    }
    return Workflow(tmp_path, {"datasets": datasets})


def test_the_map_of_both_numberings_is_a_target(charades):
    done = charades.finish("charades/annotations/charades_qid_map.parquet")
    assert done.rules == {"import_annotations": 2, "map_charades_ids": 1}
    table = read_table(charades.results / "charades/annotations/charades_qid_map.parquet").to_pylist()
    assert [(row["text_query_id"], row["tvr_query_id"]) for row in table] == [
        ("charades/train/qid_0", "charades_tvr/train/0"),
        ("charades/train/qid_1", None),
        ("charades/train/qid_2", "charades_tvr/train/1"),
        ("charades/test/qid_9", "charades_tvr/test/9"),
    ]


def test_a_system_asks_for_the_tables_and_words_of_its_family_and_the_pictures_of_the_dataset(charades):
    systems = {"img": {"datasets": {"charades": {"annotations": "charades_tvr"}}}}
    planned = charades.with_config({**charades.config, "systems": systems}).plan("charades/img/metrics.json")
    assert planned.status == 0, planned.output
    assert "results/charades_tvr/annotations/queries.parquet" in planned.output
    assert "results/charades/annotations/queries.parquet" not in planned.output
    assert "results/charades/media/manifest.parquet" in planned.output
    assert "results/charades_tvr/media/manifest.parquet" not in planned.output


def test_files_of_another_length_than_annotated_are_listed(tmp_path):
    queries = [query("a.mp4", duration=9.0), query("b.mp4", duration=3.5)]
    workflow = own_videos(tmp_path, queries, ["a.mp4", "b.mp4"])
    done = workflow.finish("clips/media/duration_differences.tsv")
    assert "MediaDurationDiffers: 1 of 2 videos, e.g. a: annotated 9.00 s, file 3.00 s" in done.output
    lines = (workflow.results / "clips/media/duration_differences.tsv").read_text().splitlines()
    assert lines == ["video_id\tannotated_s\tprobed_s", "a\t9.0\t3.0"]
