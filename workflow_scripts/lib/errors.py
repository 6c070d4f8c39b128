"""The error a person can act on, and how an entry point ends with it."""

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Callable, Iterator


class UserError(Exception):
    """Something the person at the keyboard can put right: what was found, where, and the remedy.

    Entry points print its text without a traceback and exit with status 2; every other exception is a bug and keeps
    its traceback.
    """


def run_entry_point(main: Callable[[], None]) -> None:
    """Run a rule's `main` with logging set up; end with status 2 and the bare message on a `UserError`."""
    logging.basicConfig(
        level=os.environ.get("MOMENTFLOW_LOG_LEVEL", "INFO"),
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    logging.getLogger("accelerate").setLevel(logging.WARNING)
    with ending_readably():
        main()


@contextlib.contextmanager
def ending_readably() -> Iterator[None]:
    """End the program with status 2 and the bare message on an error that a person can put right."""
    try:
        yield
    except UserError as error:
        message = str(error)
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
