"""Captioning sets: MSR-VTT, MSVD, VATEX, and the object form of UniQ4Cap."""

import json

import pytest

from workflow_scripts.lib.datasets import errors
from workflow_scripts.lib.datasets.readers import read_annotations, splits_named

# Made up; the fields are those of the published files.
CLIPS = {
    "info": {"year": "2016"},
    "videos": [
        {
            "video_id": "video0",
            "category": 9,
            "url": "https://www.youtube.com/watch?v=aaaaaaaaa-_&t=3",
            "start time": 137.72,
            "end time": 149.44,
            "split": "train",
            "id": 0,
        },
        {"video_id": "video1", "url": "elsewhere", "split": "validate", "id": 1},
        {"video_id": "video2"},
    ],
    "sentences": [
        {"caption": "a car", "video_id": "video0", "sen_id": 0},
        {"caption": "a dog", "video_id": "video1", "sen_id": 1},
        {"caption": "a red car", "video_id": "video0", "sen_id": 2},
    ],
}
OBJECT = {"aaaaaaaaaaa": {"folder": "f", "mplug": "a dog", "sound_mplug": "a dog barks", "ofa": ["x"]}}


def read(tmp_path, source_format, content, split="train"):
    (tmp_path / "c.json").write_text(json.dumps(content))
    return read_annotations(source_format, {split: tmp_path / "c.json"}, "cap")


def test_clips_take_their_own_split_and_all_their_captions(tmp_path):
    found = read(tmp_path, "msrvtt", CLIPS)
    assert [(row["video_id"], row["split"]) for row in found.videos] == [
        ("video0", ["train"]),
        ("video1", ["val"]),
        ("video2", ["train"]),
    ]
    first, second, _ = found.videos
    assert first["duration_s"] == 149.44 - 137.72
    assert (first["youtube_id"], first["clip_start_s"], first["clip_end_s"]) == ("aaaaaaaaa-_", 137.72, 149.44)
    assert json.loads(first["extra_json"]) == {"category": 9, "id": 0, "url": CLIPS["videos"][0]["url"]}
    assert (second["duration_s"], second.get("youtube_id")) == (None, None)
    captions = [(row["video_id"], row["split"], row["caption_index"], row["text"]) for row in found.captions]
    assert captions == [
        ("video0", "train", 0, "a car"),
        ("video1", "val", 0, "a dog"),
        ("video0", "train", 1, "a red car"),
    ]
    assert [(row["kind"], row["source_id"]) for row in found.captions][::2] == [("reference", "0"), ("reference", "2")]
    assert found.queries == []


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"videos": None}, errors.BadValue, r"c\.json:videos"),
        ({"videos": CLIPS["videos"] * 2}, errors.DuplicateVideo, r"videos\[3\]: .*videos\[0\]"),
        ({"videos": [{"id": 1}]}, errors.MissingKey, r"videos\[0\]:video_id"),
        ({"sentences": [{"video_id": "v", "caption": "x", "sen_id": 1}]}, errors.UnknownVideo, "a caption of v"),
        ({"sentences": [{"video_id": "video0", "sen_id": 1}]}, errors.MissingKey, r"sentences\[0\]:caption"),
        ({"sentences": ["x"]}, errors.BadSourceFile, r"sentences\[0\]"),
    ],
)
def test_broken_clips_are_named_with_the_place(tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        read(tmp_path, "msrvtt", CLIPS | change)


def test_an_object_of_captions_reads_like_the_list(tmp_path, caplog):
    found = read(tmp_path, "uniq4cap", OBJECT)
    as_list = read(tmp_path, "uniq4cap", [{"id": key, **entry} for key, entry in OBJECT.items()])
    assert (found.videos, found.captions) == (as_list.videos, as_list.captions)
    assert [(row["text"], row["kind"]) for row in found.captions] == [("a dog barks", "sound"), ("a dog", "visual")]
    assert "'folder' of 1 entries" in caplog.text


def test_a_blank_caption_is_left_out_and_counted_and_its_video_stays(tmp_path, caplog):
    found = read(tmp_path, "uniq4cap", [{"id": "a", "sound_mplug": " ", "mplug": "x"}, {"id": "b", "sound_mplug": "y"}])
    assert [row["video_id"] for row in found.videos] == ["a", "b"]
    captions = [(row["video_id"], row["caption_index"], row["text"], row["kind"]) for row in found.captions]
    assert captions == [("a", 0, "x", "visual"), ("b", 0, "y", "sound")]
    assert "1 blank captions are left out" in caplog.text


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ({"a": {}}, errors.MissingKey, r"c\.json:a:sound_mplug"),
        ({"a": {"id": "b", "sound_mplug": "x"}}, errors.BadValue, r"c\.json:a:id: .*'b'; expected 'a'"),
        ({"a": "x"}, errors.BadSourceFile, "an object"),
        ("a", errors.BadSourceFile, "a list"),
    ],
)
def test_a_broken_object_of_captions_is_named(tmp_path, content, error, message):
    with pytest.raises(error, match=message):
        read(tmp_path, "uniq4cap", content)


VATEX = [
    {"videoID": "aaaaaaaaa_-_000122_000132", "enCap": ["a car", "a red car"], "chCap": ["x"]},
    {"videoID": "bbbbbbbbbbb_000000_000010"},
]


def captions_of(found):
    return [(row["video_id"], row["split"], row["caption_index"], row["text"], row["kind"]) for row in found.captions]


def test_clips_of_vatex_have_their_english_captions(tmp_path):
    found = read(tmp_path, "vatex", VATEX, "val")
    first, second = found.videos
    assert (first["youtube_id"], first["clip_start_s"], first["clip_end_s"]) == ("aaaaaaaaa_-", 122, 132)
    assert (first["duration_s"], json.loads(first["extra_json"])) == (10, {"chCap": ["x"]})
    assert (second["split"], second["youtube_id"]) == (["val"], "bbbbbbbbbbb")
    name = VATEX[0]["videoID"]
    assert captions_of(found) == [(name, "val", 0, "a car", "reference"), (name, "val", 1, "a red car", "reference")]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ({}, errors.BadSourceFile, "a list"),
        ([{}], errors.MissingKey, r"c\.json\[0\]:videoID"),
        ([{"videoID": "abc_1_2"}], errors.BadValue, "YouTube id"),
        ([{"videoID": "aaaaaaaaaaa_9_9"}], errors.BadValue, "YouTube id"),
        ([{"videoID": "aaaaaaaaaaa_1_9", "enCap": [3]}], errors.BadValue, r"enCap\[0\]"),
        (VATEX * 2, errors.DuplicateVideo, r"c\.json\[2\]: .*c\.json\[0\]"),
    ],
)
def test_broken_clips_of_vatex_are_named(tmp_path, content, error, message):
    with pytest.raises(error, match=message):
        read(tmp_path, "vatex", content)


MSVD = "# Descriptions\n\naaaaaaaaaaa_3_12 a bird in a sink\nbbbbbbbbbbb_0_5 a dog\naaaaaaaaaaa_3_12 a bird\n"


def read_msvd(tmp_path, captions=MSVD, **lists):
    files = {"captions": captions, **lists}
    for name, text in files.items():
        (tmp_path / f"{name}.txt").write_text(text)
    return read_annotations("msvd", {name: tmp_path / f"{name}.txt" for name in files}, "cap")


def test_clips_of_msvd_have_the_captions_of_the_common_file_and_the_split_of_their_list(tmp_path):
    found = read_msvd(tmp_path, train="bbbbbbbbbbb_0_5.avi\n", test="aaaaaaaaaaa_3_12")
    assert captions_of(found) == [
        ("bbbbbbbbbbb_0_5", "train", 0, "a dog", "reference"),
        ("aaaaaaaaaaa_3_12", "test", 0, "a bird in a sink", "reference"),
        ("aaaaaaaaaaa_3_12", "test", 1, "a bird", "reference"),
    ]
    row = found.videos[1]
    assert (row["youtube_id"], row["clip_start_s"], row["clip_end_s"], row["duration_s"]) == ("aaaaaaaaaaa", 3, 12, 9)
    assert splits_named("msvd", ["captions", "train", "val"]) == ["train", "val"]


def test_broken_files_of_msvd_are_named(tmp_path):
    with pytest.raises(errors.UnknownVideo, match=r"train\.txt:2: .*a clip with captions"):
        read_msvd(tmp_path, train="aaaaaaaaaaa_3_12\nccccccccccc_1_2\n")
    with pytest.raises(errors.DuplicateVideo, match=r"test\.txt:1"):
        read_msvd(tmp_path, train="aaaaaaaaaaa_3_12", test="aaaaaaaaaaa_3_12")
    with pytest.raises(errors.BadSourceFile, match=r"captions\.txt:1: .*<clip> <caption>"):
        read_msvd(tmp_path, captions="aaaaaaaaaaa_3_12\n", train="")
    with pytest.raises(errors.BadSourceFile, match="the file of captions"):
        read_annotations("msvd", {"train": tmp_path / "train.txt"}, "cap")
