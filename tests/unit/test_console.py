"""The short view of a workflow, told what Snakemake logs."""

import io
import logging
import shutil

import pytest

from workflow_scripts.lib.console import view
from workflow_scripts.lib.console.job_logs import last_lines, progress_in, reason_in, warnings_in
from workflow_scripts.lib.console.progress import CallProgress, Job, time_words
from workflow_scripts.lib.console.view import CLEARED, View, take_console


class Call:
    """A view that writes into a text, a clock that a test sets, and records as Snakemake makes them."""

    def __init__(self, folder, is_terminal=False):
        self.folder, self.now, self.stream, self.shown = folder, 0.0, io.StringIO(), []
        show = lambda: self.shown.append("results")  # noqa: E731
        self.view = View(self.stream, is_terminal, show, clock=lambda: self.now, tick_s=None)

    def say(self, message, event=None, level=logging.INFO, **fields):
        content = {"msg": message, "levelno": level, **fields}
        self.view.handle(logging.makeLogRecord(content | ({"event": event} if event else {})))

    def plan(self, **jobs):
        self.say("Job stats:", "run_info", stats={**jobs, "total": sum(jobs.values())})

    def start(self, number, rule, log="", command="python", **names):
        path = self.folder / f"{number}.log"
        path.write_text(log)
        self.say(
            "", "job_info", jobid=number, rule_name=rule, wildcards=names, log=[str(path)], shellcmd=command, reason="x"
        )
        return path

    def finish(self, number):
        self.say("Finished jobid", "job_finished", job_id=number)

    def fail(self, number, rule):
        self.say("Error", "job_error", logging.ERROR, jobid=number, rule_name=rule, log=[f"{self.folder}/{number}.log"])

    def end(self):
        self.say("Complete log(s): /x/the.log")

    @property
    def lines(self):
        return self.stream.getvalue().splitlines()


@pytest.fixture
def call(tmp_path):
    return Call(tmp_path)


def test_a_rule_gets_a_line_when_it_is_through_and_the_call_one_at_its_end(call):
    call.plan(probe_media=2, collect_manifest=1)
    call.start(1, "probe_media", dataset="demo", shard="0000")
    call.now = 4
    call.start(2, "probe_media", dataset="demo", shard="0001")
    call.finish(1)
    call.now = 10
    call.finish(2)
    call.start(3, "collect_manifest", dataset="demo")
    call.now = 130
    call.finish(3)
    call.end()
    assert call.lines == [
        "3 jobs: 2 probe_media, 1 collect_manifest",
        "2 probe_media: done in 10 s",
        "collect_manifest demo: done in 2 min",
        "3 jobs done in 2 min; log: /x/the.log",
    ]


def test_what_snakemake_says_of_itself_is_left_to_its_log_and_the_rest_is_shown(call):
    call.say("Building DAG of jobs...")
    call.say("SNAKEMAKE\n=====", "workflow_started")
    call.say("Provided cores: 2", "resources_info")
    call.say("\nSelect jobs to execute...")
    call.say("Execute 1 jobs...", "job_started")
    call.say("Shell command: python", "shellcmd", shellcmd="python")
    call.say(None, "progress", done=1, total=6)
    call.say("WorkflowError:\nAt least one job did not complete successfully.", "error", logging.ERROR)
    assert call.lines == []
    call.say("LockException:\nDirectory cannot be locked.", "error", logging.ERROR)
    assert call.lines == ["LockException:", "Directory cannot be locked."]


def test_results_are_shown_again_if_there_is_nothing_to_do(call):
    call.say("Nothing to be done (all requested files are present and up to date).")
    assert call.shown == ["results"]
    assert len(call.lines) == 1


def test_on_a_terminal_the_last_line_lives(tmp_path):
    call = Call(tmp_path, is_terminal=True)
    call.plan(extract_visual=3)
    log = call.start(1, "extract_visual", dataset="demo", feature="clip", shard="0000")
    call.start(2, "extract_visual", dataset="demo", feature="clip", shard="0001")
    log.write_text("06:05:49 INFO begun\n06:06:21 INFO 120 of 266 videos, 11.20/s, 13 s left\n")
    call.now = 20
    call.finish(2)
    drawn = call.stream.getvalue().split(CLEARED)
    whole = "1 of 3 | extract_visual demo clip 0000: 120 of 266 videos, 11.20/s, 13 s left | at least"
    assert drawn[-1] == whole[: shutil.get_terminal_size().columns - 1]
    call.say("a message")
    assert f"{CLEARED}a message\n1 of 3 | extract" in call.stream.getvalue()
    call.view.close()
    assert call.stream.getvalue().endswith(CLEARED)


def test_the_living_line_makes_room_for_a_job_that_writes_to_the_console_itself(tmp_path):
    call = Call(tmp_path, is_terminal=True)
    call.plan(weights=1)
    call.start(1, "weights", command="python -m workflow_scripts.list_downloads 2>&1 | tee results/logs/weights.log")
    call.view.tick()
    assert call.stream.getvalue() == "1 job: 1 weights\n"


def test_the_end_of_the_state_says_what_more_runs_and_how_long_it_may_take(call):
    call.plan(extract_visual=4)
    for number in (1, 2):
        call.start(number, "extract_visual", "10:00:00 INFO at work\n", shard=f"000{number}")
    call.now = 100
    call.finish(1)
    call.start(3, "extract_visual", shard="0003")
    call.now = 161
    call.view.tick()
    assert call.lines[-1] == "1 of 4 | extract_visual 0002: at work | and 1 more | about 8 min left"


def test_without_a_terminal_a_line_comes_after_a_minute_of_silence_and_later_more_rarely(call):
    call.plan(train=1)
    call.start(1, "train", "epoch 3/20: 4 of 9\n", system="img")
    printed = []
    for call.now in (30, 61, 90, 122, 10_000, 10_061, 10_499, 10_530):
        before = len(call.lines)
        call.view.tick()
        printed += [call.now] if len(call.lines) > before else []
    assert printed == [61, 122, 10_000, 10_530]
    assert call.lines[-1] == "0 of 1 | train img: epoch 3/20: 4 of 9"


def test_warnings_of_jobs_are_shown_once(call):
    call.plan(probe_media=2)
    for number in (1, 2):
        call.start(number, "probe_media", "10:00:00 WARNING odd\nWARNING: no stamp\n10:00:01 INFO fine\n", shard="0")
        call.finish(number)
    assert [line for line in call.lines if "warning" in line] == ["warning: probe_media 0: odd"]


def test_only_so_many_warnings_are_shown_and_the_rest_is_counted(call):
    call.plan(probe_media=1)
    call.start(1, "probe_media", "".join(f"10:00:00 WARNING number {i}\n" for i in range(view.LISTED + 5)))
    call.finish(1)
    call.end()
    assert sum("number" in line for line in call.lines) == view.LISTED
    assert "warning: 5 more in the logs of the jobs" in call.lines


def test_a_failed_job_shows_the_end_of_its_log_and_the_last_lines_list_what_failed_and_why(call, tmp_path):
    call.plan(extract_visual=2, index_features=1)
    log = "".join(f"10:00:00 INFO line {i}\n" for i in range(50)) + "error: no disk space left\n"
    call.start(1, "extract_visual", log, shard="0000")
    call.start(2, "extract_visual", "Traceback\nKeyError: 'x'\n", shard="0001")
    call.fail(1, "extract_visual")
    call.fail(2, "extract_visual")
    call.end()
    assert f"failed: extract_visual 0000\n  the end of {tmp_path}/1.log:\n    10:00:00 INFO line 31\n" in (
        call.stream.getvalue()
    )
    assert call.lines[-3:] == [
        "2 jobs failed, 0 done, 1 not started, in 0 s; log: /x/the.log",
        f"  extract_visual 0000: no disk space left ({tmp_path}/1.log)",
        f"  extract_visual 0001: KeyError: 'x' ({tmp_path}/2.log)",
    ]


def test_a_job_that_failed_and_then_went_well_is_not_listed(call):
    call.plan(train=1)
    call.start(1, "train")
    call.fail(1, "train")
    call.start(1, "train")
    call.finish(1)
    call.end()
    assert call.lines[-1].startswith("1 job done in 0 s")


def test_jobs_that_come_after_a_checkpoint_are_counted(call):
    call.plan(fetch_annotations=1)
    call.start(1, "fetch_annotations", file="x")
    call.finish(1)
    call.say(None, "progress", done=1, total=4)
    call.start(2, "probe_media")
    call.now = 61
    call.view.tick()
    assert call.lines[-1] == "1 of 4 | probe_media"


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("epoch 3/20:  45%|####5     | 9/20 [00:03<00:04,  2.60step/s]", "epoch 3/20: 9/20, 2.60step/s, 00:04 left"),
        (
            "\rv.tar:   1%| | 1/9\rv.tar:  12%|█  | 1.20G/10.0G [00:10<01:20, 110MB/s]",
            "v.tar: 1.20G/10.0G, 110MB/s, 01:20 left",
        ),
        ("10:00:00 INFO 3 of 9 videos\n\n", "3 of 9 videos"),
        (f"{'word ' * 14}and more", f"{'word ' * 13}…"),
        ("", ""),
    ],
)
def test_the_progress_of_a_job_is_what_it_said_last(tmp_path, log, said):
    (tmp_path / "a.log").write_text(log)
    assert progress_in(tmp_path / "a.log") == said


def test_a_log_that_is_not_there_says_nothing(tmp_path):
    path = tmp_path / "none.log"
    assert (last_lines(path, 3), progress_in(path), warnings_in(path)) == ([], "", [])
    assert reason_in(path) == "its log is empty"


def test_only_the_end_of_a_long_log_is_read(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("x" * 100_000 + "\nthe end\n")
    assert last_lines(path, 1) == ["the end"]
    assert sum(map(len, last_lines(path, 9))) < 10_000


def test_time_left_weighs_rules_by_their_own_jobs_and_says_when_it_knows_only_part():
    progress = CallProgress(0.0)
    progress.plan({"short": 4, "long": 3, "unknown": 0})
    assert progress.left(1.0) is None
    for number, (rule, started, ended) in enumerate([("short", 0, 10), ("long", 0, 100), ("short", 10, 20)]):
        progress.start(number, Job(rule, "", (), False, started))
        progress.finish(number, ended)
    # 2 short of 10 s and 2 long of 100 s; 120 s of work were done in 100 s.
    assert progress.left(100.0) == (pytest.approx(220 / 1.2), True)
    progress.plan({"train": 1})
    assert progress.left(100.0) == (pytest.approx(220 / 1.2), False)


def test_times_are_readable():
    assert [time_words(s) for s in (0, 59.4, 60, 7100, 9000)] == ["0 s", "59 s", "1 min", "118 min", "2.5 h"]


class Chosen:
    printshellcmds = False

    def filter(self, _):
        return True


def test_the_view_takes_the_place_of_the_handler_that_prints_and_commands_go_to_the_log():
    logger = logging.Logger("made")
    printing, writing = logging.StreamHandler(io.StringIO()), logging.StreamHandler(io.StringIO())
    printing.name, writing.name = view.PRINTS_ALL, view.WRITES_LOG
    chosen = Chosen()
    writing.addFilter(chosen)
    logger.addHandler(printing)
    logger.addHandler(writing)
    take_console(logger, lambda: None)
    assert [type(handler) for handler in logger.handlers] == [logging.StreamHandler, View]
    assert chosen.printshellcmds
    logger.handlers[1].close()


def test_where_a_plugin_prints_the_view_does_not():
    logger = logging.Logger("made")
    logger.addHandler(logging.NullHandler())
    take_console(logger, lambda: None)
    assert [type(handler) for handler in logger.handlers] == [logging.NullHandler]
