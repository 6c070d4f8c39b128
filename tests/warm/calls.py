"""Starts calls of Snakemake as forks of a server that has the libraries loaded; see `tests.warm`."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Thread

SERVER = Path(__file__).with_name("server.py")


class Call:
    """A call of Snakemake that was started: what `subprocess.Popen` offers, as far as tests ask."""

    def __init__(self, connection: socket.socket, output: int) -> None:
        self.connection, self.stdout = connection, os.fdopen(output, encoding="utf-8", errors="replace")
        self.pid = int(connection.recv(32))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the status if it has ended."""
        try:
            return self.wait(1e-3)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; return the status, negative for a signal."""
        if self.returncode is None:
            self.connection.settimeout(timeout)
            try:
                self.returncode = int(self.connection.recv(32))
            except TimeoutError:
                raise subprocess.TimeoutExpired("snakemake", timeout) from None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Read to the end; return what was printed."""
        printed: list[str] = []
        reader = Thread(target=lambda: printed.append(self.stdout.read()), daemon=True)
        reader.start()
        reader.join(timeout)
        if reader.is_alive():
            raise subprocess.TimeoutExpired("snakemake", timeout)
        self.wait()
        return printed[0], None


def start(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Call:
    """Start `snakemake ARGUMENT ...` in a folder, as the leader of a session; what it prints is to be read."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect("\0" + server_address())
    request = {"arguments": list(arguments), "folder": str(folder), "environment": dict(environment)}
    output, written = os.pipe()
    with Path(os.devnull).open("rb") as nothing:
        socket.send_fds(connection, [json.dumps(request).encode()], [nothing.fileno(), written, written])
    os.close(written)
    return Call(connection, output)


@cache
def server_address() -> str:
    """Return where the server of this process listens, started when first asked for; it ends with this process."""
    alive, _ = os.pipe()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    server = subprocess.Popen(
        [sys.executable, "-I", str(SERVER), str(alive)],
        pass_fds=[alive],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    os.close(alive)
    return server.stdout.readline().strip()
