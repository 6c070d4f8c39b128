"""What a report lists: what became of queries, videos and what is said in them, thumbnails, coverage."""

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tests.markdown_pages import ROOT
from tests.unit.made_clips import make_clip, rotated
from tests.unit.made_results import make_results
from tests.unit.test_reporting import NOT_ANSWERED, Untabled, reference, row, timelines
from workflow_scripts.lib.media.media_error import DecodeError
from workflow_scripts.lib.media.thumbnails import WIDTH, thumbnails
from workflow_scripts.lib.predictions.references import Reference, read_references
from workflow_scripts.lib.reporting import shown, shown_pictures, shown_videos
from workflow_scripts.lib.reporting.coverage import coverage
from workflow_scripts.lib.reporting.entries import SeedAnswers, length_of, query_entries
from workflow_scripts.lib.reporting.shown_videos import VideoFile, address, speech_lines, video_files
from workflow_scripts.lib.store.atomic import write_json

CLIP = ROOT / "tests" / "data" / "videos" / "bigbuckbunny.mp4"


def outcome(*rows, span=(0.0, 10.0)):
    [entry] = timelines([reference("a", span)], list(rows))
    return entry["outcome"][0]


def test_what_became_of_a_query_is_told_by_its_first_ranks():
    assert outcome(row("a", 0.0, 10.0)) == "hit"
    assert outcome(row("a", 0.0, 5.0)) == "hit"
    assert outcome(row("a", 0.0, 4.0)) == "imprecise"
    assert outcome(row("a", 12.0, 14.0)) == "elsewhere"
    assert outcome(row("a", 14.0, 12.0)) == "elsewhere"
    assert outcome(row("a", 12.0, 14.0), row("a", 0.0, 9.0, rank=1)) == "lower rank"
    assert outcome(row("a", 12.0, 14.0), row("a", 0.0, 9.0, rank=5)) == "elsewhere"
    assert outcome(row("a", None, None)) == "no answer"
    assert outcome(row("b", 0.0, 1.0)) == "not asked"
    assert outcome(row("a", 0.0, 1.0), span=None) == "not judged"


def test_the_best_of_several_annotated_moments_counts_and_all_are_shown():
    query = Reference("a", "v", "text", 20.0, (0.0, 2.0), {}, [(0.0, 2.0), (10.0, 14.0)])
    [entry] = timelines([query], [row("a", 10.0, 12.0)])
    assert entry["annotated"] == [[0.0, 2.0], [10.0, 14.0]]
    assert entry["predicted"] == [[[10.0, 12.0, None, 0.5]]]
    assert entry["quality"] == [0.5]


def test_every_seed_has_its_answers_and_the_ranks_stand_in_order():
    rows = [row("a", 1.0, 2.0, rank=1), row("a", 0.0, 10.0) | {"score": 0.123456}]
    seeds = [SeedAnswers(f"seed{i}", NOT_ANSWERED | {"moments": own}) for i, own in enumerate((rows, rows[:1]))]
    [entry] = query_entries(Untabled(), [reference("a", (0.0, 10.0))], seeds, "kind")
    assert entry["predicted"] == [[[0.0, 10.0, 0.1235, 1.0], [1.0, 2.0, None, 0.1]], [[1.0, 2.0, None, 0.1]]]
    assert entry["quality"] == [1.0, 0.1]
    assert (entry["kind"], entry["length"]) == ("picture", "short")


def test_lengths_are_those_of_the_metrics():
    assert [length_of((0.0, end)) for end in (0.0, 10.0, 10.5, 30.0, 31.0)] == [
        *("short", "short", "middle", "middle", "long")
    ]


def test_the_worst_comes_first_over_all_seeds_and_what_nobody_judged_last():
    entries = [{"quality": quality} for quality in ([0.5, 0.7], [None, None], [0.1, 0.9], [0.0, None])]
    ordered = sorted(entries, key=shown._worst_first)
    assert [entry["quality"] for entry in ordered] == [[0.0, None], [0.1, 0.9], [0.5, 0.7], [None, None]]


def test_an_entry_says_why_it_was_not_asked_and_tells_nothing_of_a_stream_that_is_empty():
    asked = {"id": "a", "video": "v", "outcome": ["hit"], "notes": ["audio importance 0.5", "other 1.0"]}
    entries = [
        asked,
        {"id": "b", "video": "v", "outcome": ["not asked"]},
        {"id": "c", "video": "w", "outcome": ["hit"]},
    ]
    shown._add_reasons(entries, {"v": [("audio", "cnn14: no_audio")]}, {"c": "moment outside its video"})
    assert entries[0]["notes"] == ["other 1.0", "without audio (cnn14: no_audio)"]
    assert entries[1]["why"] == "cnn14: no_audio"
    assert entries[2]["why"] == "moment outside its video"


def test_coverage_counts_by_status_and_gives_reasons(tmp_path):
    settings = make_results(tmp_path / "demo", status_of={("sounds", "v0"): "no_audio"})
    streams = {"audio": {"names": ["sounds", "nowhere"]}, "text": {"names": ["words"]}}
    folder = settings.parents[1]
    rows, reasons = coverage(streams, folder, folder, {"v0", "v1"})
    assert (rows[0]["feature"], rows[0]["counts"]) == ("sounds", [("no_audio", 1), ("ok", 1)])
    assert rows[0]["reasons"] == ["1 x no_audio"]
    assert reasons == {"v0": [("audio", "sounds: no_audio")]}


def test_all_annotated_moments_of_a_query_are_read_in_their_order(tmp_path):
    settings = make_results(tmp_path / "demo")
    references = read_references(settings.parents[1] / "annotations", "test", {"kinds": None, "moments": "clip"})
    assert references
    assert all(each.spans[0] == each.span for each in references if each.span)


# Videos


def test_videos_are_found_as_they_are_now_and_linked_from_the_page(tmp_path):
    folder = tmp_path / "my videos#1"
    folder.mkdir()
    (folder / "a b?.mp4").touch()
    settings = {"videos": str(folder), "extensions": ["mp4"]}
    write_json(tmp_path / "results" / "demo" / "media" / "settings.json", settings)
    files = video_files(tmp_path / "results" / "demo", ["a b?", "gone"])
    link = address(files["a b?"].path, tmp_path / "results" / "demo" / "img" / "report.html")
    assert link == "../../../my%20videos%231/a%20b%3F.mp4"
    assert files["gone"].path is None
    assert "gone" in files["gone"].reason
    assert "settings.json does not say" in video_files(tmp_path, ["a"])["a"].reason
    folder.joinpath("a b?.mp4").unlink()
    folder.rmdir()
    assert "no such folder" in video_files(tmp_path / "results" / "demo", ["a b?"])["a b?"].reason


def test_speech_is_cut_where_the_page_would_be_too_long_and_that_is_counted(monkeypatch):
    names = ["b", "a", "a", "other"]
    columns = {"video_id": names, "start_s": [1.0, 2.0, 0.0, 0.0], "end_s": [2.0, 3.0, 1.0, 1.0], "text": ["x" * 5] * 4}
    table = pa.table(columns)
    assert speech_lines(table, ["a", "b"]) == (
        {"a": [[0.0, 1.0, "xxxxx"], [2.0, 3.0, "xxxxx"]], "b": [[1.0, 2.0, "xxxxx"]]},
        0,
    )
    monkeypatch.setattr(shown_videos, "MAX_SPEECH_CHARACTERS", 12)
    kept, n_cut = speech_lines(table, ["a", "b"])
    assert (list(kept), n_cut) == (["a"], 1)


# Thumbnails


def test_thumbnails_show_the_asked_times(tmp_path):
    found = list(thumbnails(CLIP, [0.5, 0.0]))
    assert [time_s for time_s, _ in found] == [0.0, 0.5]
    pictures = [Image.open(io.BytesIO(content)) for _, content in found]
    assert all(picture.format == "JPEG" and picture.width <= WIDTH for picture in pictures)
    [(_, last), (_, behind)] = thumbnails(CLIP, [1e5, 1e6])
    assert last == behind


def test_a_video_that_cannot_be_decoded_costs_only_its_own_thumbnails(tmp_path, caplog):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"nothing")
    with pytest.raises(DecodeError):
        list(thumbnails(broken, [0.0]))
    files = {"a": VideoFile(broken), "<b>": VideoFile(CLIP), "c": VideoFile(None)}
    entries = [{"video": name, "annotated": [[0.0, 1.0]], "predicted": [[[0.0, 1.0, None, 1.0]], []]} for name in files]
    assert shown_pictures.add_pictures(tmp_path / "report_files", entries, files) == 0
    assert ["pictures" in entry for entry in entries] == [False, True, False]
    [annotated, predicted] = entries[1]["pictures"]
    assert annotated[:2] == ["annotated", 0.5]
    assert predicted[:2] == ["predicted", 0.5]
    [written] = (tmp_path / "report_files").iterdir()
    assert annotated[2] == predicted[2] == written.name
    assert "broken.mp4" in caplog.text


def test_there_are_no_more_thumbnails_than_a_report_may_have():
    entries = [{"video": "v", "annotated": [[float(n), float(n)]]} for n in (0, 1, 1, 2)]
    wanted, n_without = shown_pictures.wanted_times(entries, most=2)
    assert wanted == {"v": {0.0, 1.0}}
    assert n_without == 1


@pytest.mark.parametrize("degrees", [90, -90])
def test_a_picture_that_lies_on_its_side_is_turned_as_a_player_turns_it(tmp_path, degrees):
    upright = make_clip(tmp_path / "a.mp4", n_frames=3, size=(96, 64))
    plain, turned = (
        np.array(Image.open(io.BytesIO(content)).convert("L"), int)
        for path in (upright, rotated(upright, tmp_path / "b.mp4", degrees))
        for _, content in thumbnails(path, [0.2])
    )
    assert np.abs(np.rot90(plain, degrees // 90) - turned).mean() < 3
