"""One file from its official address or a mirror: resumed, checked, put in place as a whole, or a message that helps.

What has arrived lies in `<name>.part` beside the final name, with what the server said about it in `<name>.part.json`;
a later call goes on from there if the server still has the same file.
"""

import email.utils
import errno
import fcntl
import json
import logging
import math
import os
import shutil
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import requests
from tqdm import tqdm

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.fetching.misplaced import misplaced
from workflow_scripts.lib.fetching.source import Source, by_hand
from workflow_scripts.lib.store.atomic import fsync_path, write_json
from workflow_scripts.lib.store.digest import verify_sha256

log = logging.getLogger(__name__)

BLOCK_BYTES = 1 << 16
"""What is lost of a transfer that breaks is less than this."""
TIMEOUT_S = 60
PAUSES_S = (1.0, 3.0, 10.0, 30.0)
"""Waiting times between tries in a row that brought nothing; each try that brought bytes starts the row anew."""
LONGEST_PAUSE_S = 300.0
"""A server that asks for a longer pause is not waited for."""
PASSING_STATUS = (408, 429, 500, 502, 503, 504)


def fetch(source: Source, path: Path, place: Path | None = None, mirror: str | None = None) -> None:
    """Download a file, check it and put it in place.

    Parameters
    ----------
    source : Source
        Where it is published.
    path : Path
        Where it goes; its folder is created. A file that is there stays until the new one is complete and checked.
    place : Path or None
        Where messages tell a person to put the file by hand; None: at `path`.
    mirror : str or None
        Address that is asked instead of the official one; `file://` is a file of this machine.

    Raises
    ------
    UserError
        There is no address, it cannot be reached or refuses, the connection breaks again and again, another process is
        fetching the same file, or the file is not the expected one. A wrong file is deleted; a part of a right one is
        kept for the next call.
    OSError
        The disk is full, or would be (`ENOSPC`), with the name of the part file.
    """
    if source.url is None:
        raise UserError(by_hand(source, place or path))
    wanted = _Wanted(source, mirror or source.url, place or path)
    log.info("%s (licence: %s) -> %s", wanted.name, source.licence, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(path)
    with part.opened() as sink:
        try:
            _fill(wanted, part, sink)
        except UserError:
            if not sink.tell():
                part.forget()
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                error.filename = error.filename or str(part.path)
            raise
    try:
        remedy = "nothing was kept; run again, or correct the entry if the publisher replaced the file"
        require_published(source, part.path, wanted.name, remedy)
    except UserError:
        part.forget()
        raise
    fsync_path(part.path)
    part.path.replace(path)
    part.said.unlink(missing_ok=True)
    fsync_path(path.parent)


@dataclass(frozen=True)
class _Wanted:
    """What is fetched, from which address, and where a person may put it."""

    source: Source
    address: str
    place: Path

    @property
    def name(self) -> str:
        """Return what messages call the file: its official address, and the mirror that is asked."""
        is_official = self.address == self.source.url
        return self.source.url if is_official else f"{self.source.url} (mirror: {self.address})"


class _Part:
    """The part file of a download and what is remembered about it."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.part")
        self.said = path.with_name(f"{path.name}.part.json")

    def opened(self) -> BinaryIO:
        """Open for appending, as the only process that does."""
        file = self.path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise UserError(f"{self.path}: another process is fetching this file; wait until it is done") from None
        except OSError as error:
            # Some network file systems have no locks; Snakemake keeps its own jobs apart.
            log.debug("%s: no lock (%s)", self.path, error)
        return file

    def remembered(self, url: str) -> dict[str, Any]:
        """Return what the server said when the part was begun; nothing if it was another address."""
        try:
            said = json.loads(self.said.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return said if said.get("url") == url else {}

    def remember(self, url: str, response: requests.Response, total: int | None) -> None:
        """Keep what tells on the next call whether the server still has the same file."""
        headers = response.headers
        etag = headers.get("ETag", "")
        version = headers.get("Last-Modified") if etag.startswith("W/") or not etag else etag
        write_json(self.said, {"url": url, "version": version, "total": total})

    def forget(self) -> None:
        """Delete the part."""
        self.path.unlink(missing_ok=True)
        self.said.unlink(missing_ok=True)


def _fill(wanted: _Wanted, part: _Part, sink: BinaryIO) -> None:
    """Append to the part until it is complete."""
    transfer = _copy if urlsplit(wanted.address).scheme == "file" else _transfer
    waiting, farthest = list(PAUSES_S), sink.tell()
    while True:
        try:
            transfer(wanted, part, sink)
            return
        except _Refused as refusal:
            problem, pause, is_final = str(refusal), refusal.pause, refusal.pause > LONGEST_PAUSE_S
        except requests.RequestException as error:
            # Nobody answers at all: most likely there is no internet, and waiting does not help.
            problem, pause, is_final = _plain(error), 0.0, _is_unreachable(error)
        sink.flush()
        if sink.tell() > farthest:
            waiting, farthest = list(PAUSES_S), sink.tell()
        if is_final or not waiting:
            kept = f"; {sink.tell()} bytes are kept, the next call goes on from there" if sink.tell() else ""
            raise UserError(_cannot_download(wanted, f"{problem}{kept}"))
        pause = max(pause, waiting.pop(0))
        log.warning("%s: %s; trying again in %.0f s", wanted.name, problem, pause)
        time.sleep(pause)


def _copy(wanted: _Wanted, part: _Part, sink: BinaryIO) -> None:
    """Copy a file of this machine."""
    path = Path(urllib.request.url2pathname(urlsplit(wanted.address).path))
    if not path.is_file():
        raise _Refused(f"{path}: no such file")
    _restart(sink)
    _require_space(part.path, path.stat().st_size)
    with path.open("rb") as content:
        shutil.copyfileobj(content, sink, BLOCK_BYTES)
    sink.flush()


def _transfer(wanted: _Wanted, part: _Part, sink: BinaryIO) -> None:
    """Ask once for what is missing and append it."""
    said, have = part.remembered(wanted.address), sink.tell()
    if have and not said:
        have = _restart(sink)
    if have and have == said["total"]:
        return
    headers = {"Accept-Encoding": "identity", "User-Agent": "momentflow"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if said["version"]:
            headers["If-Range"] = said["version"]
    with requests.get(wanted.address, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
        if response.status_code == 416:
            _restart(sink)
            part.said.unlink(missing_ok=True)
            raise _Refused("the server no longer has a file of that length; starting again", 0.0)
        _require_success(response)
        start, total = _extent(response)
        if response.status_code == 206 and (start != have or said.get("total", total) not in (None, total)):
            _restart(sink)
            part.said.unlink(missing_ok=True)
            raise _Refused("the server now has another file; starting again", 0.0)
        if response.status_code != 206 and have:
            log.info("%s: the server sends the whole file again", wanted.name)
            have = _restart(sink)
        _refuse_web_page(wanted, response)
        size, name = total or wanted.source.size, part.path.stem
        _require_space(part.path, (size or 0) - have)
        part.remember(wanted.address, response, total)
        with tqdm(total=size, initial=have, unit="B", unit_scale=True, desc=name, mininterval=1) as bar:
            for block in response.iter_content(BLOCK_BYTES):
                sink.write(block)
                bar.update(len(block))
    sink.flush()
    if total is not None and sink.tell() != total:
        raise requests.ConnectionError(f"the connection broke after {sink.tell()} of {total} bytes")


class _Refused(Exception):
    """The server does not send the file; `pause` says after how many seconds it may."""

    def __init__(self, message: str, pause: float = math.inf) -> None:
        super().__init__(message)
        self.pause = pause


def _require_success(response: requests.Response) -> None:
    status = response.status_code
    if status in (200, 206):
        return
    meaning = {
        401: ": it asks for a login",
        403: ": it refuses; the file may need a login, or was withdrawn",
        404: ": the file is no longer there",
        410: ": the file was withdrawn",
        429: ": too many requests",
    }.get(status, "")
    pause = _asked_pause(response) if status in PASSING_STATUS else math.inf
    raise _Refused(f"HTTP Error {status} ({response.reason}){meaning}", pause)


def _asked_pause(response: requests.Response) -> float:
    asked = response.headers.get("Retry-After", "0")
    if asked.isdigit():
        return float(asked)
    date = email.utils.parsedate_tz(asked)
    return max(0.0, email.utils.mktime_tz(date) - time.time()) if date else 0.0


def _extent(response: requests.Response) -> tuple[int, int | None]:
    """Return the first byte of the answer and the length of the whole file."""
    if response.status_code == 206:
        first, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        start = first.partition("-")[0]
        return int(start) if start.isdigit() else -1, int(total) if total.isdigit() else None
    length = response.headers.get("Content-Length", "")
    # The length of a compressed answer is not that of the file.
    is_plain = response.headers.get("Content-Encoding", "identity") == "identity"
    return 0, int(length) if length.isdigit() and is_plain else None


def _refuse_web_page(wanted: _Wanted, response: requests.Response) -> None:
    is_page = response.headers.get("Content-Type", "").startswith("text/html")
    if is_page and not wanted.source.url.endswith((".html", ".htm")):
        raise _Refused("the server sends a web page instead of the file (a login or a notice)")


def _require_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"{part} ({needed} bytes are missing, {free} are free)")


def _restart(sink: BinaryIO) -> int:
    sink.truncate(0)
    return sink.seek(0)


def require_published(source: Source, path: Path, name: str, remedy: str) -> None:
    """Check size and checksum of a file, as far as they are known.

    Raises
    ------
    UserError
        It is not the published file; the message begins with `name` and ends with `remedy`.
    """
    found = path.stat().st_size
    if source.size is not None and found != source.size:
        raise UserError(f"{name}: the file has {found} bytes, expected {source.size}; {remedy}")
    verify_sha256(path, source.sha256, name, remedy)


def _is_unreachable(error: requests.RequestException) -> bool:
    # urllib3 wraps what happened before a connection was there, and only that, in an error with a reason.
    return isinstance(error, requests.ConnectionError) and bool(error.args) and hasattr(error.args[0], "reason")


def _plain(error: requests.RequestException) -> str:
    """Return what went wrong without the names of Python's objects around it."""
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT_S} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke"
    reason = error.args[0] if error.args else error
    return str(getattr(reason, "reason", reason))


def _cannot_download(wanted: _Wanted, problem: str) -> str:
    page = f" (see {wanted.source.page})" if wanted.source.page else ""
    return (
        f"cannot download {wanted.name}: {problem}. Without internet, fetch the file elsewhere{page} and put it at "
        f"{wanted.place} (licence: {wanted.source.licence}){misplaced(wanted.place, wanted.source.size)}"
    )
