"""Which file of a folder is which video."""

import os
import unicodedata

import pytest

from tests.unit.made_clips import make_clip
from workflow_scripts.lib.datasets.readers import read_annotations
from workflow_scripts.lib.datasets.video_folder import (
    MISSING,
    annotated_videos,
    is_missing,
    list_videos,
    located,
    videos_in,
)
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.survey import Located, survey_videos
from workflow_scripts.lib.media.video_files import VideoFiles

KINDS = ["mp4", "mov", "mkv"]
NFC, NFD = (unicodedata.normalize(form, "Überfahrt é") for form in ("NFC", "NFD"))


def make_files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def chosen(folder, video_id, file=None):
    """The file that a name means, found through the list and by the probe alike."""
    entries = list_videos(folder, KINDS, [video_id], [file])
    return located(folder, KINDS, entries)[video_id]


def test_capital_extensions_are_found_and_the_preferred_file_comes_first(tmp_path):
    make_files(tmp_path, "a.MP4", "b.mkv", "b.mp4", "c.d.Mov", "notes.txt", "mp4")
    files = VideoFiles(tmp_path, KINDS)
    assert [files.find(name) for name in ("a", "b", "c.d", "notes", "mp4")] == [
        ["a.MP4"],
        ["b.mp4", "b.mkv"],
        ["c.d.Mov"],
        [],
        [],
    ]
    assert VideoFiles(tmp_path, ["mkv", "mp4"]).find("b") == ["b.mkv", "b.mp4"]


def test_other_kinds_of_video_come_after_those_of_the_dataset(tmp_path):
    make_files(tmp_path, "a.TS", "b.avi", "b.xyz")
    assert VideoFiles(tmp_path, ["xyz"]).find("b") == ["b.xyz", "b.avi"]
    assert VideoFiles(tmp_path, KINDS).find("a") == ["a.TS"]
    assert VideoFiles(tmp_path, KINDS).find("b") == ["b.avi"]


def test_the_list_and_the_probe_take_the_same_file(tmp_path, caplog):
    make_clip(tmp_path / "a.mp4", n_frames=12)
    (tmp_path / "a.mp4").rename(tmp_path / "a.MP4")
    make_clip(tmp_path / "a.mkv", n_frames=24)
    listed = list_videos(tmp_path, ["mp4", "mkv"], ["a", "b"])
    assert listed["a"].endswith(":a.MP4")
    assert listed["b"] == MISSING
    surveys = survey_videos(tmp_path, located(tmp_path, ["mp4", "mkv"], listed), 1)
    assert [survey.path for survey in surveys] == ["a.MP4", None]
    assert "1 videos have several files, e.g. a.MP4 is used, a.mkv is not" in caplog.text


@pytest.mark.parametrize(("annotated", "on_disk"), [(NFC, NFD), (NFD, NFC), (NFC, NFC), (NFD, NFD)])
def test_both_forms_of_unicode_meet_and_the_name_on_disk_is_opened(tmp_path, annotated, on_disk):
    make_clip(make_files(tmp_path, f"{NFD}/x") / f"{on_disk}.mp4")
    make_clip(tmp_path / NFD / f"{on_disk} 2.mp4")
    for video_id, path in ((annotated, f"{on_disk}.mp4"), (f"{NFC}/{annotated} 2", f"{NFD}/{on_disk} 2.mp4")):
        for file in (None, f"{video_id}.mp4"):
            assert chosen(tmp_path, video_id, file).path == path
            (survey,) = survey_videos(tmp_path, {"v": chosen(tmp_path, video_id, file)}, 1)
            assert (survey.path, survey.info.status) == (path, "ok")


def test_a_file_that_is_named_is_never_another_one(tmp_path, caplog):
    make_files(tmp_path, "same.mp4", "same.webm", "only.mp4", "caps.MOV", "sub/deep.mkv", "same.webm.mkv")
    assert chosen(tmp_path, "same", "same.webm").path == "same.webm"
    assert chosen(tmp_path, "same", "same.mp4").path == "same.mp4"
    assert chosen(tmp_path, "caps", "caps.mov").path == "caps.MOV"
    assert chosen(tmp_path, "same.mp4").path == "same.mp4"
    assert chosen(tmp_path, "deep", "deep.mkv").path == "sub/deep.mkv"
    assert caplog.text == ""
    assert chosen(tmp_path, "only", "only.webm") == Located(None, "no only.webm, but only.mp4")
    assert chosen(tmp_path, "deep", "deep.webm") == Located(None, "no deep.webm, but sub/deep.mkv")
    make_files(tmp_path, "caps.mov")
    assert chosen(tmp_path, "caps", "caps.mov").path == "caps.mov"
    assert chosen(tmp_path, "caps", "caps.MOV").path == "caps.MOV"


def test_a_name_below_subfolders_counts_with_its_path_or_alone_where_it_occurs_once(tmp_path):
    make_files(
        tmp_path, "top.mp4", "it's/top.mp4", "it's/one.mkv", "it's/one.mp4", "b/two.mp4", "c/d/two.mp4", ".x/h.mp4"
    )
    assert chosen(tmp_path, "top").path == "top.mp4"
    assert chosen(tmp_path, "it's/top").path == "it's/top.mp4"
    assert chosen(tmp_path, "one").path == "it's/one.mp4"
    assert chosen(tmp_path, "one.mkv").path == "it's/one.mkv"
    assert chosen(tmp_path, "c/d/two").path == "c/d/two.mp4"
    several = chosen(tmp_path, "two", "two.mp4")
    assert several.path is None
    assert sorted(several.reason.removesuffix("; name the folder too").split(": ")[1].split(", ")) == [
        "b/two.mp4",
        "c/d/two.mp4",
    ]
    assert chosen(tmp_path, "h").path is None


def test_subfolders_are_looked_into_only_if_a_video_is_not_at_the_top(tmp_path, monkeypatch):
    make_files(tmp_path, "a.mp4", "frames/a/1.jpg")
    seen, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: seen.append(path) or scandir(path))
    list_videos(tmp_path, KINDS, ["a"])
    assert len(seen) == 1
    list_videos(tmp_path, KINDS, ["a", "b"])
    assert len(seen) == 4


def test_links_into_folders_are_followed_but_not_in_circles(tmp_path):
    make_files(tmp_path / "disk", "a.mp4")
    make_files(tmp_path / "videos", "b.mp4", "deeper/c.mp4")
    (tmp_path / "videos/link").symlink_to(tmp_path / "disk")
    (tmp_path / "videos/deeper/up").symlink_to(tmp_path / "videos")
    (tmp_path / "videos/gone").symlink_to("nowhere")
    (tmp_path / "videos/round").symlink_to("round")
    assert videos_in(tmp_path / "videos", KINDS) == ["b", "deeper/c", "link/a"]


def test_a_file_that_cannot_be_reached_is_left_to_the_probe(tmp_path):
    (tmp_path / "a.mp4").symlink_to("gone.mp4")
    entries = list_videos(tmp_path, KINDS, ["a"])
    assert is_missing(entries["a"])
    (survey,) = survey_videos(tmp_path, located(tmp_path, KINDS, entries), 1)
    assert (survey.path, survey.info.status) == ("a.mp4", "missing")


def test_a_video_that_is_made_after_it_was_listed_is_found_by_its_id(tmp_path):
    make_files(tmp_path, "a.mkv")
    assert located(tmp_path, KINDS, {"a": "generated:0123"}) == {"a": Located("a.mkv")}


@pytest.mark.parametrize(
    ("asked", "near"),
    [("holliday in rome", "sub/Holiday in Rome.mp4"), ("HOLIDAY IN ROME", "sub/Holiday in Rome.mp4"), ("xyz", None)],
)
def test_the_nearest_name_is_suggested(tmp_path, asked, near):
    make_files(tmp_path, "other.mp4", "sub/Holiday in Rome.mp4")
    missing = chosen(tmp_path, asked)
    assert missing.path is None
    assert missing.reason == f"no {asked}.(mp4|mov|mkv)" + (f"; the nearest name is {near}" if near else "")


def test_names_of_folders_that_cannot_stand_in_a_list_are_named(tmp_path):
    make_files(tmp_path, "tab\there/a.mp4", "fine/b.mp4")
    with pytest.raises(UserError, match=r"1 cannot be used: 'tab\\there/a.mp4'"):
        list_videos(tmp_path, KINDS, ["a", "b"])


# Folders without annotations


def test_a_folder_alone_lists_all_its_videos(tmp_path, caplog):
    names = ("a b.mp4", "dir.ts", f"{NFD}.TS", "it's/deep one.mkv", "same.mp4", "same.webm", "caps.MOV")
    make_files(tmp_path, *names, "notes.txt", "._a b.mp4", ".hidden/x.mp4", "trip.mov/in a folder.mp4")
    make_files(tmp_path, "dir.mov/x.txt", "dir.ts")
    found = videos_in(tmp_path, KINDS)
    assert found == sorted(
        ["a b", "dir", NFC, "it's/deep one", "same.mp4", "same.webm", "caps", "trip.mov/in a folder"]
    )
    listed = list_videos(tmp_path, KINDS, found)
    assert listed[NFC].endswith(f":{NFD}.TS")
    assert {place.path for place in located(tmp_path, KINDS, listed).values()} == {*names, "trip.mov/in a folder.mp4"}
    assert caplog.text == ""


def test_two_files_of_one_name_in_two_forms_of_unicode_are_told(tmp_path, caplog):
    make_files(tmp_path, f"{NFC}.mp4", f"{NFD}.mp4")
    assert videos_in(tmp_path, KINDS) == [f"{NFC}.mp4"]
    assert "in the form of Unicode only" in caplog.text


def test_all_names_that_cannot_be_used_are_shown_at_once(tmp_path):
    make_files(tmp_path, "fine.mp4", *(f"tab\t{i:02}.mp4" for i in range(12)))
    (tmp_path / os.fsdecode(b"caf\xe9.mp4")).touch()
    with pytest.raises(UserError) as caught:
        videos_in(tmp_path, KINDS)
    assert "names of videos: 13 cannot be used" in str(caught.value)
    assert str(caught.value).count("tab\\t") + str(caught.value).count("udce9") == 10
    assert "and 3 more" in str(caught.value)


def test_a_folder_without_videos_says_what_is_there(tmp_path):
    with pytest.raises(UserError, match=r"no video in it; it is empty"):
        videos_in(tmp_path, KINDS)
    make_files(tmp_path, "a.jpg", "sub/b.JPG", "c")
    with pytest.raises(
        UserError, match=r"3 other files are there: 2 \.jpg, 1 without extension. Looked for \.mp4, \.mov,"
    ):
        videos_in(tmp_path, KINDS)


# What annotation files say


def read_plain(path, text):
    path.write_text(text)
    return read_annotations("plain", {"test": path}, "mine")


def test_annotation_files_are_read_again_if_they_or_their_reader_change(tmp_path):
    file, cache = tmp_path / "q.csv", tmp_path / "annotated.json"
    file.write_text("video,query,duration\nb.webm,x,3\na,y,\n")
    n_read = []

    def ask(importer="plain 1"):
        read = lambda: n_read.append(1) or read_annotations("plain", {"test": file}, "mine")  # noqa: E731
        return annotated_videos([file], importer, read, cache)

    assert (ask().ids, ask().named, ask().have_durations) == (["a", "b"], [None, "b.webm"], False)
    assert len(n_read) == 1
    ask("plain 2")
    file.write_text("video,query\nc,z\n")
    assert ask("plain 2").ids == ["c"]
    assert len(n_read) == 3


def test_files_of_one_stem_get_ids_that_tell_them_apart(tmp_path):
    text = "video,query,qid\na.mp4,one,1\nsub/b.mkv,two,2\na.webm,three,3\na.mp4,one,1\n"
    found = read_plain(tmp_path / "q.csv", text)
    assert [row["video_id"] for row in found.videos] == ["a.mp4", "sub/b", "a.webm"]
    assert [row["video_id"] for row in found.queries] == ["a.mp4", "sub/b", "a.webm"]
    assert found.files == {"a.mp4": "a.mp4", "sub/b": "sub/b.mkv", "a.webm": "a.webm"}
    make_files(tmp_path, "a.mp4", "a.webm", "sub/b.mkv")
    videos = annotated_videos([tmp_path / "q.csv"], "", lambda: found, tmp_path / "annotated.json")
    entries = list_videos(tmp_path, KINDS, videos.ids, videos.named)
    assert {key: place.path for key, place in located(tmp_path, KINDS, entries).items()} == found.files


def test_blanks_paths_and_both_forms_of_unicode_are_one_video_in_a_list_of_queries(tmp_path):
    text = f"video,query\n{NFD}/my holiday.mp4,x\n./{NFC}/my holiday.mp4,y\n"
    found = read_plain(tmp_path / "q.csv", text)
    assert [row["video_id"] for row in found.videos] == [f"{NFC}/my holiday"]
    assert len(found.queries) == 2


def test_all_names_of_a_list_that_cannot_be_used_are_shown_at_once(tmp_path):
    lines = "".join(f'"/films/{i:02}.mp4",x\n' for i in range(12))
    with pytest.raises(UserError) as caught:
        read_plain(tmp_path / "q.csv", f'video,query\nfine.mp4,x\n"a\tb.mp4",x\n{lines}')
    message = str(caught.value)
    assert f"'a\\tb.mp4' ({tmp_path}/q.csv:3:video), '/films/00.mp4' ({tmp_path}/q.csv:4:video)" in message
    assert message.count("films/") == 9
    assert "and 3 more" in message
