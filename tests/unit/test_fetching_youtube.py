"""Videos of YouTube through a stand-in for yt-dlp: what is there, what is gone, and what may be asked for again."""

import json
import os
import textwrap

import pytest

from tests.stand_ins import write_program
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.fetching.youtube import Clip, Program, fetch_clips, read_clips, write_clips, write_report

ANSWERS = {
    "privatevid1": "Private video. Sign in if you've been granted access to this video",
    "removedvid1": "Video unavailable. This video has been removed by the uploader",
    "closedacct1": "Video unavailable. This video is no longer available because the YouTube account associated with "
    "this video has been terminated.",
    "nosuchvid01": "Video unavailable",
    "botcheckvid": "Sign in to confirm you're not a bot. Use --cookies for the authentication",
    "toomanyreq1": "Video unavailable. This content isn't available, try again later.",
    "countryvid1": "The uploader has not made this video available in your country",
}
GONE = ["privatevid1", "removedvid1", "closedacct1", "nosuchvid01"]
PASSING = ["botcheckvid", "toomanyreq1", "countryvid1"]

STAND_IN = """\
    import json, sys
    arguments = sys.argv[1:]
    name = arguments[-1].rpartition("=")[2]
    with open({calls!r}, "a") as calls:
        calls.write(json.dumps(arguments) + "\\n")
    answers = json.load(open({answers!r}))
    if name in answers:
        sys.exit(f"WARNING: something\\nERROR: [youtube] {{name}}: {{answers[name]}}")
    with open(arguments[arguments.index("--output") + 1].replace("%(ext)s", "mp4"), "w") as video:
        video.write(name)
"""


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """A program called yt-dlp on the PATH; `tool.calls()` are the ids that it was asked for."""

    class Tool:
        answers = tmp_path / "answers.json"
        log = tmp_path / "calls.jsonl"

        def arguments(self):
            return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.is_file() else []

        def calls(self):
            return [arguments[-1].rpartition("=")[2] for arguments in self.arguments()]

        def answer(self, answers):
            self.answers.write_text(json.dumps(answers))

    made = Tool()
    made.answer(ANSWERS)
    program = tmp_path / "bin/yt-dlp"
    program.parent.mkdir()
    text = STAND_IN.format(calls=str(made.log), answers=str(made.answers))
    write_program(program, textwrap.dedent(text))
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return made


def fetch(tmp_path, ids, program="yt-dlp"):
    clips = [Clip(name, name) for name in ids]
    settings = Program(program, "/bin/true", 480)
    return fetch_clips(clips, tmp_path / "videos", ("mp4", "webm"), tmp_path / "asked.jsonl", settings)


def states(outcomes):
    return {outcome.video_id: outcome.state for outcome in outcomes}


def test_what_is_there_is_not_asked_for(tmp_path, tool):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/herealready.webm").write_text("mine")
    assert states(fetch(tmp_path, ["herealready", "newvideo_01"])) == {"newvideo_01": "fetched"}
    assert tool.calls() == ["newvideo_01"]
    assert (tmp_path / "videos/newvideo_01.mp4").read_text() == "newvideo_01"
    assert sorted(path.name for path in (tmp_path / "videos").iterdir()) == ["herealready.webm", "newvideo_01.mp4"]
    assert not (tmp_path / "videos.fetching").exists()


def test_gone_and_passing_reasons_are_told_apart(tmp_path, tool):
    outcomes = fetch(tmp_path, [*GONE, "newvideo_01", *PASSING])
    expected = dict.fromkeys(GONE, "gone") | {"newvideo_01": "fetched"} | dict.fromkeys(PASSING, "failed")
    assert states(outcomes) == expected
    assert {outcome.video_id: outcome.reason for outcome in outcomes if outcome.reason} == ANSWERS


def test_a_later_call_asks_again_only_for_what_failed(tmp_path, tool):
    fetch(tmp_path, [*GONE, "newvideo_01", *PASSING])
    tool.log.unlink()
    tool.answer({})
    outcomes = fetch(tmp_path, [*GONE, "newvideo_01", *PASSING])
    assert tool.calls() == PASSING
    assert states(outcomes) == dict.fromkeys(GONE, "gone") | dict.fromkeys(PASSING, "fetched")


def test_the_report_holds_what_is_missing_and_why(tmp_path, tool):
    write_report(tmp_path / "missing.tsv", fetch(tmp_path, ["privatevid1", "newvideo_01", "botcheckvid"]))
    lines = [line.split("\t") for line in (tmp_path / "missing.tsv").read_text().splitlines()]
    assert lines[0] == ["video_id", "youtube_id", "state", "reason", "asked"]
    assert [line[:4] for line in lines[1:]] == [
        ["privatevid1", "privatevid1", "gone", ANSWERS["privatevid1"]],
        ["botcheckvid", "botcheckvid", "failed", ANSWERS["botcheckvid"]],
    ]


def test_a_record_that_a_kill_cut_off_is_still_read(tmp_path, tool):
    fetch(tmp_path, ["privatevid1"])
    with (tmp_path / "asked.jsonl").open("a") as record:
        record.write('{"video_id": "remo')
    fetch(tmp_path, ["privatevid1", "removedvid1"])
    tool.log.unlink()
    assert states(fetch(tmp_path, ["privatevid1", "removedvid1"])) == dict.fromkeys(GONE[:2], "gone")
    assert tool.calls() == []


def test_a_video_put_there_by_hand_is_no_longer_reported(tmp_path, tool):
    fetch(tmp_path, ["privatevid1"])
    (tmp_path / "videos/privatevid1.mp4").write_text("from a friend")
    assert fetch(tmp_path, ["privatevid1"]) == []


def test_many_passing_failures_in_a_row_stop_the_call(tmp_path, tool):
    ids = [f"blocked{i:04}" for i in range(30)]
    tool.answer(dict.fromkeys(ids, ANSWERS["botcheckvid"]))
    with pytest.raises(UserError, match="10 videos in a row could not be fetched, the last one because: Sign in to"):
        fetch(tmp_path, ids)
    assert len(tool.calls()) == 10


def test_a_full_disk_stops_the_call(tmp_path, tool):
    tool.answer({"newvideo_01": "unable to write data: [Errno 28] No space left on device"})
    with pytest.raises(UserError, match="no disk space left while fetching videos"):
        fetch(tmp_path, ["newvideo_01"])


def test_without_the_program_the_message_says_how_to_get_it(tmp_path):
    with pytest.raises(
        UserError, match=r"1 videos are to be fetched from YouTube, and there is no program 'no-such-dlp'"
    ):
        fetch(tmp_path, ["newvideo_01"], program="no-such-dlp")


def test_without_the_program_nothing_is_wrong_if_nothing_is_missing(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/herealready.mp4").write_text("mine")
    assert fetch(tmp_path, ["herealready"], program="no-such-dlp") == []


def test_a_part_of_a_video_is_cut_out_while_it_is_fetched(tmp_path, tool):
    clips = [Clip("-abcdefghij_60.0_210.0", "-abcdefghij", 60.0, 210.0)]
    settings = Program("yt-dlp", "/bin/true", 360)
    fetch_clips(clips, tmp_path / "videos", ("mp4",), tmp_path / "asked.jsonl", settings)
    (arguments,) = tool.arguments()
    assert arguments[arguments.index("--download-sections") + 1] == "*60.0-210.0"
    assert arguments[arguments.index("--format-sort") + 1] == "res:360,ext:mp4:m4a"
    assert arguments[-2:] == ["--", "https://www.youtube.com/watch?v=-abcdefghij"]
    assert (tmp_path / "videos/-abcdefghij_60.0_210.0.mp4").is_file()


def test_the_list_of_ids_is_read_as_it_was_written(tmp_path):
    clips = [Clip("a_1.0_2.5", "-abcdefghij", 1.0, 2.5), Clip('quo"te', "ABCDEFGHIJK")]
    write_clips(tmp_path / "ids.tsv", clips)
    assert read_clips(tmp_path / "ids.tsv") == clips
