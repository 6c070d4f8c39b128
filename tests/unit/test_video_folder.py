"""Which file of a folder is which video."""

from tests.unit.made_clips import make_clip
from workflow_scripts.lib.datasets.video_folder import MISSING, list_videos
from workflow_scripts.lib.media.survey import survey_videos, video_files


def test_capital_extensions_are_found_and_the_preferred_file_comes_first(tmp_path):
    for name in ("a.MP4", "b.mkv", "b.mp4", "c.d.Mov", "notes.txt", "mp4"):
        (tmp_path / name).write_text(name)
    found = video_files(tmp_path, ["mp4", "mov", "mkv"])
    assert found == {"a": ["a.MP4"], "b": ["b.mp4", "b.mkv"], "c.d": ["c.d.Mov"]}
    assert video_files(tmp_path, ["mkv", "mp4"])["b"] == ["b.mkv", "b.mp4"]


def test_the_list_and_the_probe_take_the_same_file(tmp_path, caplog):
    make_clip(tmp_path / "a.mp4", n_frames=12)
    (tmp_path / "a.mp4").rename(tmp_path / "a.MP4")
    make_clip(tmp_path / "a.mkv", n_frames=24)
    listed = list_videos(tmp_path, ["mp4", "mkv"], ["a", "b"])
    assert listed["a"].endswith(":a.MP4")
    assert listed["b"] == MISSING
    surveys = survey_videos(tmp_path, ["a", "b"], ["mp4", "mkv"], 1)
    assert [survey.path for survey in surveys] == ["a.MP4", None]
    assert "1 videos have several files, e.g. a.MP4 is used, a.mkv is not" in caplog.text
