"""The short view of a workflow: a handler for what Snakemake logs, in place of the one that prints every job.

On a terminal the last line lives: jobs done, the longest running job with its own progress, the time left. Elsewhere a
line comes now and then. Both get a line when a rule is through, warnings of jobs, the last lines of a failed job's log,
and a list of what failed at the end. All that Snakemake says otherwise is in its own log.
"""

import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from workflow_scripts.lib.console.job_logs import last_lines, progress_in, reason_in, warnings_in
from workflow_scripts.lib.console.progress import CallProgress, Job, time_words

SAYS_NOTHING_NEW = (
    "Assuming unrestricted shared filesystem",
    "Building DAG of jobs",
    "Conda environments: ignored",
    "DAG of jobs will be updated",
    "Elapsed time",
    "Execute ",
    "Exiting because a job execution failed",
    "Group jobs: inactive",
    "Provided ",
    "Rules claiming more threads",
    "Select jobs to execute",
    "Updating checkpoint dependencies",
    "Using shell",
    "WorkflowError:\nAt least one job did not complete successfully",
)
"""Beginnings of messages that this view says in its own words, or that are in the log."""
CLOSING = "Complete log(s): "
NOTHING_TO_DO = "Nothing to be done"
SILENCE_S, SILENCE_SHARE = 60.0, 0.05
"""Without a terminal, a line after so many seconds, or that share of the time so far if it is more."""
LINES_OF_A_LOG, LISTED = 20, 20
CLEARED = "\r\x1b[2K"
PRINTS_ALL, WRITES_LOG = "DefaultStreamHandler", "DefaultLogFileHandler"
"""Names of Snakemake's own handlers."""


class View(logging.Handler):
    """Prints what happens.

    Parameters
    ----------
    stream : TextIO
        The console.
    is_terminal : bool
        Whether a line may be drawn over.
    show_results : callable
        Called when everything is there, to print what was asked for.
    clock : callable
        Returns seconds.
    tick_s : float or None
        Seconds between looks at the jobs; None: only when `tick` is called.
    """

    def __init__(
        self,
        stream: TextIO,
        is_terminal: bool,
        show_results: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        tick_s: float | None = 1.0,
    ) -> None:
        super().__init__()
        self._stream, self._is_terminal, self._clock = stream, is_terminal, clock
        self._show_results, self._ended = show_results, threading.Event()
        self._progress = CallProgress(clock())
        self._warned: set[str] = set()
        self._is_live, self._printed_at = False, clock()
        self._on = {
            "workflow_started": self._pass_over,
            "resources_info": self._pass_over,
            "job_started": self._pass_over,
            "shellcmd": self._pass_over,
            "rulegraph": self._pass_over,
            "run_info": self._plan,
            "job_info": self._start,
            "job_finished": self._finish,
            "job_error": self._fail,
            "progress": self._count,
        }
        if tick_s is not None:
            threading.Thread(target=self._keep_ticking, args=(tick_s,), daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Show one message of Snakemake."""
        try:
            self._on.get(str(getattr(record, "event", None)), self._say)(record)
            self.tick()
        except Exception:
            self.handleError(record)

    def tick(self) -> None:
        """Draw the living line, or print a line if there was none for long."""
        with self.lock:
            if not self._progress.running or any(job.speaks for job in self._progress.running.values()):
                self._clear()
            elif self._is_terminal:
                self._clear()
                self._stream.write(self._state()[: shutil.get_terminal_size().columns - 1])
                self._stream.flush()
                self._is_live = True
            elif self._silent_for() > max(SILENCE_S, SILENCE_SHARE * (self._clock() - self._progress.started)):
                self._print(self._state())

    def close(self) -> None:
        """End."""
        self._ended.set()
        with self.lock:
            self._clear()
        super().close()

    def _keep_ticking(self, tick_s: float) -> None:
        while not self._ended.wait(tick_s):
            self.tick()

    def _silent_for(self) -> float:
        return self._clock() - self._printed_at

    def _clear(self) -> None:
        if self._is_live:
            self._stream.write(CLEARED)
            self._stream.flush()
            self._is_live = False

    def _print(self, text: str) -> None:
        self._clear()
        self._stream.write(f"{text}\n")
        self._stream.flush()
        self._printed_at = self._clock()

    def _state(self) -> str:
        """Return how far everything is, in one line."""
        progress, now = self._progress, self._clock()
        job = min(progress.running.values(), key=lambda each: each.started)
        said = progress_in(job.logs[0]) if job.logs else ""
        others = len(progress.running) - 1
        parts = [
            f"{progress.done.total()} of {progress.total}",
            f"{job}: {said}" if said else str(job),
            f"and {others} more" if others else "",
            _left_words(progress.left(now)),
        ]
        return " | ".join(part for part in parts if part)

    # What Snakemake logs

    def _pass_over(self, record: logging.LogRecord) -> None:
        """Leave it to the log."""

    def _say(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.startswith(CLOSING):
            self._end(message.removeprefix(CLOSING))
        elif message.startswith(NOTHING_TO_DO):
            self._print(message)
            self._show_results()
        elif message not in ("", "None") and not message.strip().startswith(SAYS_NOTHING_NEW):
            self._print(message)

    def _plan(self, record: logging.LogRecord) -> None:
        jobs = {rule: number for rule, number in record.stats.items() if rule != "total"}
        self._progress.plan(jobs)
        counts = ", ".join(f"{number} {rule}" for rule, number in jobs.items())
        self._print(f"{_jobs(self._progress.total)}: {counts}")

    def _start(self, record: logging.LogRecord) -> None:
        names = " ".join(str(value) for value in record.wildcards.values())
        speaks = "| tee " in (record.shellcmd or "")
        job = Job(record.rule_name, names, tuple(map(Path, record.log)), speaks, self._clock())
        self._progress.start(record.jobid, job)

    def _finish(self, record: logging.LogRecord) -> None:
        job = self._progress.finish(record.job_id, self._clock())
        if job is None:
            return
        for text in dict.fromkeys(text for path in job.logs for text in warnings_in(path)):
            self._warn(job, text)
        if self._progress.is_through(job.rule):
            number = self._progress.done[job.rule]
            what = str(job) if number == 1 else f"{number} {job.rule}"
            self._print(f"{what}: done in {time_words(self._clock() - self._progress.begun[job.rule])}")

    def _warn(self, job: Job, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            if len(self._warned) <= LISTED:
                self._print(f"warning: {job}: {text}")

    def _fail(self, record: logging.LogRecord) -> None:
        job = self._progress.fail(record.jobid)
        self._print(f"failed: {job or record.rule_name}")
        for path in map(Path, record.log):
            lines = last_lines(path, LINES_OF_A_LOG)
            self._print("\n".join([f"  the end of {path}:", *(f"    {line}" for line in lines)]))

    def _count(self, record: logging.LogRecord) -> None:
        self._progress.total = max(self._progress.total, record.total)

    def _end(self, log: str) -> None:
        progress, more = self._progress, len(self._warned) - LISTED
        if more > 0:
            self._print(f"warning: {more} more in the logs of the jobs")
        took = time_words(self._clock() - progress.started)
        if not progress.failed:
            self._print(f"{_jobs(progress.done.total())} done in {took}; log: {log}")
            return
        waiting = progress.total - progress.done.total() - len(progress.failed)
        self._print(
            f"{_jobs(len(progress.failed))} failed, {progress.done.total()} done, {waiting} not started, in {took}; "
            f"log: {log}"
        )
        for job in list(progress.failed.values())[:LISTED]:
            where = "".join(f" ({path})" for path in job.logs[:1])
            self._print(f"  {job}: {reason_in(job.logs[0]) if job.logs else 'no log'}{where}")
        if len(progress.failed) > LISTED:
            self._print(f"  and {len(progress.failed) - LISTED} more")


def _jobs(number: int) -> str:
    return f"{number} job" if number == 1 else f"{number} jobs"


def _left_words(left: tuple[float, bool] | None) -> str:
    if left is None:
        return ""
    seconds, is_complete = left
    return f"{'about' if is_complete else 'at least'} {time_words(seconds)} left"


def take_console(logger: logging.Logger, show_results: Callable[[], None]) -> None:
    """Put the short view in the place of Snakemake's own handler, and shell commands into its log.

    Parameters
    ----------
    logger : that of Snakemake; if a plugin prints what it logs, nothing is changed
    show_results : as of `View`
    """
    for handler in list(logger.handlers):
        if handler.name == PRINTS_ALL:
            logger.removeHandler(handler)
            is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
            logger.addHandler(View(sys.stderr, is_terminal, show_results))
        if handler.name == WRITES_LOG:
            for chosen in handler.filters:
                chosen.printshellcmds = True
