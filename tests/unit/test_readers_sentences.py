"""Formats with one window per sentence: Charades-STA, ActivityNet Captions, TACoS, CALCE, spoken queries."""

import json

import pytest

from workflow_scripts.lib.datasets import errors
from workflow_scripts.lib.datasets.annotation_tables import add_flags
from workflow_scripts.lib.datasets.readers import read_annotations
from workflow_scripts.lib.datasets.validation import count_flags, validate_annotations

# Made up; ids have the published forms.
LINE = {"qid": 12404, "query": "person waves.", "duration": 30.96, "vid": "ABCDE", "relevant_windows": [[24.3, 30.4]]}
BY_VIDEO = {"ABCDE": {"duration": 33.67, "timestamps": [[5, 6.9], [0.0, 2.5]], "sentences": ["a waves.", "b sits."]}}
YOUTUBE = {
    "v__v_aaaaaaaa": {"duration": 55.15, "timestamps": [[0, 60], [9, 9]], "sentences": ["One ends late.", "  A flash."]}
}
FRAMES = {
    "s01-d02.avi": {
        "timestamps": [[294, 588], [294, 588], [0, 3000]],
        "sentences": ["The person cuts.", "The person cuts.", "The person cooks. "],
        "fps": 29.4,
        "num_frames": 2940,
    }
}
SPOKEN = {
    "ABCDE": {
        "duration": 33.67,
        "timestamps": [[0.0, 2.5], [5, 6.9]],
        "sentences": ["b sits.", "a waves."],
        "audios": ["ABCDE_train_2.wav", "ABCDE_train_1.wav"],
        "speaker": "voice_a_0030",
        "speaker_id": 5157,
    }
}
CALCE = [
    {
        "qid": "Charades_0",
        "video": "ABCDE",
        "duration": 34,
        "relevant_windows": [[0, 7]],
        "query": "person waves.",
        "items": ["person"],
        "stage1_result": [[0, 6]],
    }
]
ROW = ["v_aaaaaaaaaaa", 55.15, [0.28, 55.15], "A lesson.", "aaaaaaaaaaa_val_1_1.wav"]


TIMELENS = {
    "ABCDE": {"duration": 31.0, "spans": [[25, 30], [1, 24.5]], "queries": ["A woman waves.", "A man sits."]},
    "v__v_aaaaaaaa": {"duration": 55, "spans": [[0, 1]], "queries": ["One."], "source": "x"},
    "aaaaaaaaaaa_60.0_210.0": {"duration": 150, "spans": [], "queries": []},
}


def read(tmp_path, source_format, content, name="a.json", dataset="toy", split="train"):
    """Annotations of one file, checked."""
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    found = read_annotations(source_format, {split: path}, dataset)
    add_flags(found)
    validate_annotations(found)
    return found


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def spans(found):
    return [(row["start_s"], row["end_s"]) for row in found.moments]


# TimeLens-Bench


def test_timelens_revises_the_videos_of_three_datasets(tmp_path):
    found = read(tmp_path, "timelens", TIMELENS, split="test")
    names = ["ABCDE", "_v_aaaaaaaa", "aaaaaaaaaaa_60.0_210.0"]
    assert [(row["video_id"], row["duration_s"]) for row in found.videos] == list(
        zip(names, (31, 55, 150), strict=True)
    )
    assert [row["source_video_id"] for row in found.videos] == list(TIMELENS)
    assert [row["extra_json"] for row in found.videos] == [None, '{"source": "x"}', None]
    assert [(row["query_id"], row["text"]) for row in found.queries] == [
        ("toy/test/ABCDE#0", "A woman waves."),
        ("toy/test/ABCDE#1", "A man sits."),
        ("toy/test/_v_aaaaaaaa#0", "One."),
    ]
    assert spans(found) == [(25, 30), (1, 24.5), (0, 1)]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"spans": [[1, 2]]}, errors.BadValue, r"ABCDE:spans: .*found 1 spans; expected 2, one for every query"),
        ({"spans": [[1, 2], [3]]}, errors.BadValue, r"ABCDE:spans\[1\]"),
        ({"queries": ["a", 7]}, errors.BadValue, r"ABCDE:queries\[1\]: .*found 7; expected a text"),
        ({"duration": "31"}, errors.BadValue, r"ABCDE:duration"),
    ],
)
def test_what_is_wrong_in_a_file_of_timelens_is_named(tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        read(tmp_path, "timelens", {"ABCDE": TIMELENS["ABCDE"] | change})
    with pytest.raises(errors.MissingKey, match=r"ABCDE:queries"):
        read(tmp_path, "timelens", {"ABCDE": {"duration": 31.0, "spans": []}})


# By query and by video


@pytest.mark.parametrize("name", ["a.jsonl", "a_tvr_format.json"])
def test_tvr_lines_keep_their_numbers_whatever_the_suffix(tmp_path, name):
    found = read(tmp_path, "charades_tvr", lines(LINE, LINE | {"qid": 12405, "vid": "FGHIJ"}), name, "charades_tvr")
    assert [row["query_id"] for row in found.queries] == ["charades_tvr/train/12404", "charades_tvr/train/12405"]
    assert found.queries[0]["source_query_id"] == "12404"
    assert [row["duration_s"] for row in found.videos] == [30.96, 30.96]
    assert spans(found) == [(24.3, 30.4)] * 2


@pytest.mark.parametrize("indent", [None, 2])
def test_queries_without_number_are_known_by_their_place(tmp_path, indent):
    found = read(tmp_path, "charades_tvr", json.dumps(BY_VIDEO, indent=indent))
    assert [(row["query_id"], row["source_query_id"], row["text"]) for row in found.queries] == [
        ("toy/train/ABCDE#0", None, "a waves."),
        ("toy/train/ABCDE#1", None, "b sits."),
    ]
    assert spans(found) == [(5.0, 6.9), (0.0, 2.5)]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"sentences": ["x"]}, errors.BadValue, r"a\.json:ABCDE:timestamps: .*found 2 entries; expected 1, one for"),
        ({"sentences": ["x", 1]}, errors.BadValue, r"sentences\[1\]"),
        ({"sentences": ["x", " "]}, errors.EmptyQuery, "ABCDE#1"),
        ({"qid": ["qid_0"]}, errors.BadValue, "ABCDE:qid: .*found 1 entries"),
        ({"qid": ["qid_0", "qid_0"]}, errors.DuplicateQuery, "second query 'toy/train/qid_0'"),
        ({"timestamps": [[0, 1], [2]]}, errors.BadValue, r"timestamps\[1\]"),
        ({"duration": None}, errors.BadValue, "ABCDE:duration"),
        ({"duration": 0}, errors.BadDuration, r"a\.json:ABCDE"),
        ({"duration": 2**63}, errors.BadValue, r"a\.json:ABCDE:duration"),
        ({"timestamps": [[0, 1], [2, float("nan")]]}, errors.NonFiniteSpan, "ABCDE#1"),
    ],
)
def test_a_fault_in_a_video_is_named_with_its_place(tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        read(tmp_path, "charades_tvr", {"ABCDE": BY_VIDEO["ABCDE"] | change})


def test_a_missing_field_of_a_video_is_named(tmp_path):
    with pytest.raises(errors.MissingKey, match=r"a\.json:ABCDE:timestamps"):
        read(tmp_path, "charades_tvr", {"ABCDE": {"duration": 3.0, "sentences": []}})


def test_a_missing_field_of_a_line_is_named(tmp_path):
    with pytest.raises(errors.MissingKey, match=r"a\.jsonl:2:query"):
        read(tmp_path, "charades_tvr", lines(LINE, {"qid": 3, "vid": "X", "duration": 2.0}), "a.jsonl")


# CALCE


def test_calce_lists_bring_noun_phrases_and_keep_other_fields(tmp_path):
    found = read(tmp_path, "calce", CALCE)
    (query,) = found.queries
    assert (query["query_id"], query["items"]) == ("toy/train/Charades_0", ["person"])
    assert json.loads(query["extra_json"]) == {"stage1_result": [[0, 6]]}
    assert (found.videos[0]["duration_s"], spans(found)) == (34.0, [(0.0, 7.0)])
    with pytest.raises(errors.BadSourceFile, match="a list"):
        read(tmp_path, "calce", {"a": 1})


# ActivityNet


def test_exactly_two_characters_are_taken_off_an_activitynet_name(tmp_path):
    found = read(tmp_path, "activitynet_captions", YOUTUBE)
    (video,) = found.videos
    assert (video["video_id"], video["source_video_id"], video["youtube_id"]) == (
        "_v_aaaaaaaa",
        "v__v_aaaaaaaa",
        "_v_aaaaaaaa",
    )
    assert found.queries[1]["text"] == "  A flash."
    assert count_flags(found) == {"moments end_past_duration": 1, "moments zero_length": 1}
    assert spans(found) == [(0.0, 60.0), (9.0, 9.0)]


def test_img_numbers_name_the_queries(tmp_path):
    entry = YOUTUBE["v__v_aaaaaaaa"] | {"qid": ["qid_37421", "qid_37422"]}
    found = read(tmp_path, "activitynet_captions", {"v__v_aaaaaaaa": entry}, split="val_1")
    assert [row["query_id"] for row in found.queries] == ["toy/val_1/qid_37421", "toy/val_1/qid_37422"]


@pytest.mark.parametrize("name", ["aaaaaaaaaaa", "v_short", "V_aaaaaaaaaaa"])
def test_another_name_in_an_activitynet_file_is_an_error(tmp_path, name):
    with pytest.raises(errors.BadVideoId, match="expected v_ and 11 characters"):
        read(tmp_path, "activitynet_captions", {name: YOUTUBE["v__v_aaaaaaaa"]})


def test_a_video_of_both_validation_splits_is_one_row_and_none_of_train_is_in_them(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(YOUTUBE))
    found = read_annotations("activitynet_captions", {"val_1": path, "val_2": path}, "toy")
    add_flags(found)
    validate_annotations(found)
    assert [row["split"] for row in found.videos] == [["val_1", "val_2"]]
    assert [row["ordinal"] for row in found.queries] == [0, 1, 0, 1]
    leak = read_annotations("activitynet_captions", {"train": path, "val_1": path}, "toy")
    add_flags(leak)
    with pytest.raises(errors.SplitLeak):
        validate_annotations(leak)


# TACoS


def test_frames_become_seconds_and_repeated_rows_stay(tmp_path):
    found = read(tmp_path, "tacos", FRAMES)
    (video,) = found.videos
    assert (video["video_id"], video["fps"], video["num_frames"]) == ("s01-d02", 29.4, 2940)
    assert video["duration_s"] == 2940 / 29.4
    assert [(row["start_raw"], row["end_raw"], row["raw_unit"]) for row in found.moments[:2]] == [
        (294.0, 588.0, "frame")
    ] * 2
    assert spans(found) == [(294 / 29.4, 588 / 29.4)] * 2 + [(0.0, 3000 / 29.4)]
    assert count_flags(found) == {"moments end_past_duration": 1}
    assert found.queries[2]["text"] == "The person cooks. "


def test_seconds_of_lighthouse_stay_seconds(tmp_path):
    line = LINE | {"qid": "s01-d02_0", "vid": "s01-d02"}
    found = read(tmp_path, "tacos", lines(line), "a.jsonl")
    assert found.queries[0]["query_id"] == "toy/train/s01-d02_0"
    assert found.moments[0]["raw_unit"] == "second"


@pytest.mark.parametrize("fps", [0, -29.4])
def test_an_impossible_frame_rate_is_named(tmp_path, fps):
    with pytest.raises(errors.BadFps, match=r"s01-d02\.avi:fps"):
        read(tmp_path, "tacos", {"s01-d02.avi": FRAMES["s01-d02.avi"] | {"fps": fps}})


# Spoken queries


def test_spoken_queries_have_sound_words_and_voice(tmp_path):
    found = read(tmp_path, "spoken_queries", SPOKEN)
    first = found.queries[0]
    assert (first["modality"], first["text"], first["audio_path"]) == ("speech", "b sits.", "ABCDE_train_2.wav")
    assert (first["speaker"], first["speaker_index"]) == ("voice_a_0030", 5157)


def test_spoken_rows_of_activitynet(tmp_path):
    second = [*ROW[:2], [3, 60], "Late.", "aaaaaaaaaaa_val_1_2.wav"]
    found = read(tmp_path, "spoken_queries", [ROW, second], split="val")
    assert [(row["query_id"], row["audio_path"]) for row in found.queries] == [
        ("toy/val/aaaaaaaaaaa#0", "aaaaaaaaaaa_val_1_1.wav"),
        ("toy/val/aaaaaaaaaaa#1", "aaaaaaaaaaa_val_1_2.wav"),
    ]
    assert found.videos[0]["youtube_id"] == "aaaaaaaaaaa"
    assert spans(found) == [(0.28, 55.15), (3.0, 60.0)]
    assert count_flags(found) == {"moments end_past_duration": 1}


def test_spoken_frames_become_seconds_too(tmp_path):
    audios = [f"s01-d02_train_{k}.wav" for k in (1, 2, 3)]
    entry = FRAMES["s01-d02.avi"] | {"audios": audios, "speaker": "a", "speaker_id": 0}
    found = read(tmp_path, "spoken_queries", {"s01-d02.avi": entry})
    assert (found.videos[0]["video_id"], found.moments[0]["raw_unit"]) == ("s01-d02", "frame")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ([ROW[:4]], errors.BadSourceFile, r"a\.json\[0\]: .*begin with new_"),
        ([[*ROW[:1], "55", *ROW[2:]]], errors.BadValue, r"a\.json\[0\]:duration"),
        ([[*ROW[:2], [1], *ROW[3:]]], errors.BadValue, r"a\.json\[0\]"),
        ([[*ROW[:4], ""]], errors.MissingAudio, "no audio file"),
        ([ROW, ROW], errors.DuplicateAudio, "again"),
        ([ROW, [ROW[0], 9.0, *ROW[2:]]], errors.DuplicateVideo, r"a\.json\[1\]: .*9\.0"),
        ({"ABCDE": BY_VIDEO["ABCDE"]}, errors.MissingKey, "ABCDE:audios"),
        ({"ABCDE": SPOKEN["ABCDE"] | {"audios": ["a.wav"]}}, errors.BadValue, "ABCDE:audios: .*found 1 entries"),
        ({"ABCDE": {k: v for k, v in SPOKEN["ABCDE"].items() if k != "speaker"}}, errors.BadSpeaker, "both or none"),
    ],
)
def test_broken_spoken_queries_are_named(tmp_path, content, error, message):
    with pytest.raises(error, match=message):
        read(tmp_path, "spoken_queries", content)
