"""The error a person can act on, and how an entry point ends with it."""

import contextlib
import errno
import logging
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator


class UserError(Exception):
    """Something the person at the keyboard can put right: what was found, where, and the remedy.

    Entry points print its text without a traceback and exit with status 2; every other exception is a bug and keeps
    its traceback.
    """


class DataError(UserError):
    """A fault in annotations or predictions, one class per fault; the message names it.

    Parameters
    ----------
    where : file and line, or table and row; with nothing else, the whole message
    found : what is there
    expected : what should be there
    remedy : what to do about it
    """

    def __init__(
        self, where: str, found: str = "", expected: str = "", remedy: str = "Correct the annotation file."
    ) -> None:
        name = type(self).__name__
        super().__init__(f"{where}: {name}: found {found}; expected {expected}. {remedy}" if found else where)


class DuplicateQuery(DataError):
    """Two queries have the same id or the same place in their video, or one query is answered twice."""


class DuplicateVideo(DataError):
    """One video twice, where each may occur once."""


class UnknownQuery(DataError):
    """A row or a prediction is about a query that is not there."""


class NonFiniteSpan(DataError):
    """A start or an end that is NaN, infinite or missing."""


class ReversedSpan(DataError):
    """A span that ends before it starts."""


class NonFiniteScore(DataError):
    """A score that is NaN, infinite or not a number."""


class MissingScore(DataError):
    """A prediction without a score, in a metric that ranks by it."""


class MissingPrediction(DataError):
    """A query without a prediction, not even an explicit miss."""


def run_entry_point(main: Callable[[], None]) -> None:
    """Run a rule's `main` with logging set up; end with status 2 and the bare message on a `UserError`."""
    logging.basicConfig(
        level=os.environ.get("MOMENTFLOW_LOG_LEVEL", "INFO"),
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    logging.getLogger("accelerate").setLevel(logging.WARNING)
    try:
        with ending_readably():
            main()
            sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        # What is still to be written at the end has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def _reader_is_gone() -> bool:
    """Tell whether the program that read our output has seen enough, as `head` does."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return bool(poll.poll(0))


@contextlib.contextmanager
def ending_readably() -> Iterator[None]:
    """End the program with status 2 and the bare message on an error that a person can put right."""
    try:
        yield
    except UserError as error:
        message: str | None = str(error)
    except OSError as error:
        message = explain_os_error(error)
        if message is None:
            raise
    else:
        return
    sys.stderr.write(f"error: {message}\n")
    sys.exit(2)


def explain_os_error(error: OSError) -> str | None:
    """Return a message with the remedy for the disk errors a person can put right, else None."""
    where = error.filename or "the results folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no disk space left while writing {where}. Free some space and run again: finished work is kept."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission for {where}. Give this user access to it, or work in a folder of your own (--directory)."
    return None
