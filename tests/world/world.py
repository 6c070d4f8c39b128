"""A stand-in for the internet: a server on this machine that answers for official addresses, through `mirrors`."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.world.server import Served, Server, running_server

CONFIG = Path(__file__).resolve().parents[2] / "config"
STATED = re.compile(r"^\s*url: (https?://[^/\s]+)", re.MULTILINE)
HOST = re.compile(r"(https?)://([^/]+)")


class World:
    """What official addresses answer; an address that nobody serves is a file that is no longer there.

    What is served is small and has another checksum than the published file: a test states that of the served one,
    `Served.stated`, in the dataset's `downloads`.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        files = [CONFIG / "weights.yaml", *sorted((CONFIG / "datasets").glob("*.yaml"))]
        self._hosts = {host for file in files for host in STATED.findall(file.read_text(encoding="utf-8"))}

    def serve(self, address: str, content: bytes = b"", redirect: str | None = None, **how: Any) -> Served:
        """Answer for an official address.

        Parameters
        ----------
        address : str
            As the configuration states it, or stated by a test.
        content : bytes
            What is served.
        redirect : str or None
            Official address to which the answer sends on.
        how : faults and manners of the answers, see `Served`
        """
        match = HOST.match(address)
        self._hosts.add(match[0])
        leads = None if redirect is None else self.here(redirect)
        return self._server.serve(_path(address), content, redirect=leads, **how)

    def served(self, address: str) -> Served:
        """Return what is served for an official address, with everything that was asked."""
        return self._server.files[_path(address)]

    def here(self, address: str) -> str:
        """Return where the server answers for an official address, or for all that begin with it."""
        return self._server.url(_path(address))

    def config(self) -> dict[str, Any]:
        """Return the settings under which every host of the configuration, and every served one, is this server."""
        return {"mirrors": {f"{host}/": f"{self.here(host)}/" for host in sorted(self._hosts)}}


def _path(address: str) -> str:
    return HOST.sub(r"/\1/\2", address, count=1)


@contextlib.contextmanager
def running_world() -> Iterator[World]:
    """Run a world for the time of a test."""
    with running_server() as server:
        yield World(server)
