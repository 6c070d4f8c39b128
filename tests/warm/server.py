"""A process that has the libraries loaded, and forks: a child per call of Snakemake, a grandchild per job of it.

A program (`python -I server.py FD`); the file descriptor is the reading end of a pipe, and the server ends when nobody
holds the writing end. It prints its address. What asks it is `calls.py` and, for jobs, `client.py`.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

LIBRARIES = (
    "snakemake.cli",
    "pandas",
    "pyarrow.parquet",
    "pydantic",
    "zarr",
    "scipy.stats",
    "sklearn",
    "av",
    "h5py",
    "matplotlib.pyplot",
    "torch",
    "torchvision",
    "accelerate",
    "torchdata.stateful_dataloader",
    "torch.utils.tensorboard",
    "transformers",
    "sentence_transformers",
    "open_clip",
    "whisper",
)
"""What most of the time of a call, or of a job, goes to otherwise. None of ours: a test may change a copy of them."""
LONGEST_REQUEST = 1 << 18
STREAMS = 3
HERE = Path(__file__).resolve().parent
PATH = list(sys.path)

Request = Mapping[str, Any]


def main() -> None:
    """Serve calls of Snakemake."""
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()
    door = open_door()
    print(address_of(door), flush=True)
    serve(door, int(sys.argv[1]), snakemake)


def open_door() -> socket.socket:
    """Return a socket that listens at an address that is no file, chosen by the system."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    door.bind("")
    door.listen()
    return door


def address_of(door: socket.socket) -> str:
    """Return the address without the zero byte that marks it as no file."""
    return door.getsockname()[1:].decode()


def serve(door: socket.socket, alive: int, run: Callable[[Request], None]) -> None:
    """Fork a child per request that comes in at the door, until the pipe `alive` is closed and all children have ended.

    Whoever asks, with the file descriptors of its three streams, is told the child's process number, and its status
    when it has ended.
    """
    woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    askers: dict[int, socket.socket] = {}
    sources = [woken, door, alive]
    while alive in sources or askers:
        ready, _, _ = select.select(sources, [], [])
        if woken in ready:
            os.read(woken, 1 << 16)
        report_ended(askers)
        if door in ready:
            asker, _ = door.accept()
            content, streams, _, _ = socket.recv_fds(asker, LONGEST_REQUEST, STREAMS)
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                for descriptor in (woken, wakes, alive):
                    os.close(descriptor)
                for connection in (door, asker, *askers.values()):
                    connection.close()
                stand_in(json.loads(content), streams, run)
            for descriptor in streams:
                os.close(descriptor)
            askers[pid] = asker
            tell(asker, pid)
        if alive in ready:
            sources.remove(alive)


def report_ended(askers: dict[int, socket.socket]) -> None:
    """Tell those whose child has ended its status."""
    while askers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with askers.pop(pid) as asker:
            tell(asker, os.waitstatus_to_exitcode(status))


def tell(asker: socket.socket, number: int) -> None:
    """Send a number to whoever asked, if they still listen."""
    with contextlib.suppress(OSError):
        asker.send(str(number).encode())


def stand_in(request: Request, streams: list[int], run: Callable[[Request], None]) -> None:
    """Take the streams, folder, environment and arguments of the program that this process stands for, run and end."""
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for target, descriptor in enumerate(streams):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:] = [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *PATH]
    sys.argv[:] = request["arguments"]
    status = status_of(lambda: run(request))
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def status_of(run: Callable[[], None]) -> int:
    """Return the exit status that the interpreter would end with, having printed its last words."""
    try:
        run()
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        print(error.code, file=sys.stderr)
        return 1
    except BaseException as error:
        traceback.print_exc()
        return 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def snakemake(request: Request) -> None:
    """Run Snakemake as the leader of a session, and in its process group whoever forks its jobs."""
    os.setsid()
    door = open_door()
    alive, held = os.pipe()
    if not os.fork():
        os.close(held)
        fork_jobs(door, alive)
    os.close(alive)
    os.environ |= {
        "WARM_JOBS": address_of(door),
        "WARM_CLIENT": str(HERE / "client.py"),
        "BASH_ENV": str(HERE / "jobs.sh"),
    }
    door.close()
    from snakemake.cli import main

    main()


def fork_jobs(door: socket.socket, alive: int) -> None:
    """Fork jobs until Snakemake has ended; a signal to the process group is for the jobs."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for target in range(STREAMS):
        os.dup2(nothing, target)
    serve(door, alive, module)
    os._exit(0)


def module(request: Request) -> None:
    """Run a module as `python -m` does, in the process group of the job."""
    # The job of an executor that started it in a session of its own stays here.
    with contextlib.suppress(PermissionError):
        os.setpgid(0, request["group"])
    sys.path.insert(0, str(Path.cwd()))
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
