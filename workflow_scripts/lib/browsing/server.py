"""The server of the page: this machine only, one token, no path that a request could name.

Videos are asked for by their ids, which are looked up; what is sent lies in the folder of the videos because a listing
found it there. A page of another origin can neither read nor write: `Host` and `Origin` are compared (a name that is
made to point at this machine is another host), and everything needs the token, which is part of every address.
"""

import hmac
import json
import logging
import mimetypes
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlsplit

from workflow_scripts.lib.browsing.answers import FIRST, MOST, Answers
from workflow_scripts.lib.browsing.clips import LONGEST_S, Clips
from workflow_scripts.lib.browsing.corrections import Corrections
from workflow_scripts.lib.browsing.ranges import byte_range
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.media_error import MediaError
from workflow_scripts.lib.media.thumbnails import thumbnails

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
LARGEST_BODY, PIECE = 64_000, 256_000
PAGES = {"": "browse.html", "browse.js": "browse.js", "browse.css": "browse.css"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Refusal(Exception):
    """A request that is not answered, and why."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Site:
    """What is served.

    Attributes
    ----------
    dataset : its name
    folder : of the videos
    answers : finds moments
    corrections : keeps them
    clips : makes small copies of what a browser does not play; None: nobody asked for that
    token : part of every address
    """

    dataset: str
    folder: Path
    answers: Answers
    corrections: Corrections
    clips: Clips | None = None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def video(self, video_id: str) -> Path:
        """Return the file of a video."""
        file = self.answers.files.get(video_id)
        if file is None or not (self.folder / file).is_file():
            raise Refusal(HTTPStatus.NOT_FOUND, f"no video {video_id!r}")
        return self.folder / file


class Server(ThreadingHTTPServer):
    """Serves a site on the loopback address.

    Parameters
    ----------
    site : what is served
    port : 0: any that is free

    Raises
    ------
    UserError
        the port cannot be had
    """

    daemon_threads = True

    def __init__(self, site: Site, port: int = 0) -> None:
        try:
            super().__init__((LOOPBACK, port), Handler)
        except (OSError, OverflowError) as error:
            raise UserError(f"--port {port}: {error}; leave it out for one that is free") from error
        self.site = site
        self.hosts = tuple(f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost"))

    @property
    def address(self) -> str:
        """Return what to open."""
        return f"http://{self.hosts[0]}/{self.site.token}/"


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "momentflow"
    sys_version = ""
    timeout = 60

    def do_GET(self) -> None:
        """Answer a request to see something."""
        self._answer(
            {
                "about": self._about,
                "search": lambda asked: self.server.site.answers.to(_one(asked, "q"), _number(asked)),
                "like": self._like,
                "video": self._send_video,
                "clip": self._send_clip,
                "picture": self._send_picture,
                **dict.fromkeys(PAGES, self._send_page),
            }
        )

    def do_HEAD(self) -> None:
        """Answer without content."""
        self.do_GET()

    def do_POST(self) -> None:
        """Answer a request to keep something."""
        self._answer({"moments": lambda asked: self.server.site.corrections.keep(self._body())})

    def _answer(self, routes: Mapping[str, Callable[[Mapping[str, list[str]]], Any]]) -> None:
        try:
            address = urlsplit(self.path)
            route = routes.get(self._route(address.path))
            if route is None:
                raise Refusal(HTTPStatus.NOT_FOUND, "there is nothing of this name")
            found = route(parse_qs(address.query, keep_blank_values=True, max_num_fields=10))
            if found is not None:
                self._send(json.dumps(found).encode(), "application/json")
        except Refusal as error:
            self._refuse(error.status, str(error))
        except (UserError, ValueError) as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except (BrokenPipeError, ConnectionResetError):
            # A player that was moved elsewhere.
            self.close_connection = True

    def _route(self, path: str) -> str:
        """Return what follows the token, once it is clear who asks."""
        if self.headers.get("Host") not in self.server.hosts:
            raise Refusal(HTTPStatus.FORBIDDEN, "another host")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in [f"http://{host}" for host in self.server.hosts]:
            raise Refusal(HTTPStatus.FORBIDDEN, "another origin")
        token, slash, route = path.removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(token.encode(), self.server.site.token.encode()):
            raise Refusal(HTTPStatus.FORBIDDEN, "the address lacks the token that was printed at the start")
        return route

    def _like(self, asked: Mapping[str, list[str]]) -> list[dict[str, Any]]:
        return self.server.site.answers.like(_one(asked, "id"), _seconds(asked, "t"), _number(asked))

    def _about(self, _: Mapping[str, list[str]]) -> dict[str, Any]:
        site = self.server.site
        n_videos = sum(file is not None for file in site.answers.files.values())
        kept = {"file": str(site.corrections.path), "moments": len(site.corrections.rows())}
        known = {"dataset": site.dataset, "streams": site.answers.streams, "videos": n_videos}
        return known | {"kept": kept, "clip_s": LONGEST_S if site.clips else 0}

    def _body(self) -> Mapping[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            # What is not read would be taken for the next request.
            self.close_connection = True
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body of 0 to {LARGEST_BODY} bytes is needed")
        content = self.rfile.read(int(length))
        # A form of another page could be sent without asking, but not with this type.
        if self.headers.get_content_type() != "application/json":
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "application/json is needed")
        found = json.loads(content)
        if not isinstance(found, dict):
            raise Refusal(HTTPStatus.BAD_REQUEST, "an object is needed")
        return found

    def _send_page(self, _: Mapping[str, list[str]]) -> None:
        file = Path(__file__).parent / PAGES[urlsplit(self.path).path.rpartition("/")[2]]
        kind = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}[file.suffix]
        self._send(file.read_bytes(), f"{kind}; charset=utf-8")

    def _send_picture(self, asked: Mapping[str, list[str]]) -> None:
        try:
            pictures = list(thumbnails(self.server.site.video(_one(asked, "id")), [_seconds(asked, "t")]))
        except MediaError as error:
            raise Refusal(HTTPStatus.NOT_FOUND, str(error)) from error
        if not pictures:
            raise Refusal(HTTPStatus.NOT_FOUND, "no picture at this time")
        self._send(pictures[0][1], "image/jpeg")

    def _send_video(self, asked: Mapping[str, list[str]]) -> None:
        path = self.server.site.video(_one(asked, "id"))
        with path.open("rb") as file:
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            self._send_part(file, path.stat().st_size, kind)

    def _send_clip(self, asked: Mapping[str, list[str]]) -> None:
        site = self.server.site
        if site.clips is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "small copies are made with --proxy-clips")
        path = site.video(_one(asked, "id"))
        try:
            content = site.clips.of(path, _seconds(asked, "start"), _seconds(asked, "end"))
        except MediaError as error:
            raise Refusal(HTTPStatus.NOT_FOUND, str(error)) from error
        self._send_part(BytesIO(content), len(content), "video/webm")

    def _send_part(self, file: BinaryIO, size: int, kind: str) -> None:
        """Send the bytes that are asked for."""
        try:
            part = byte_range(self.headers.get("Range"), size)
        except ValueError:
            whole = {"Content-Range": f"bytes */{size}"}
            self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "no such bytes", whole)
            return
        start, end = part or (0, size)
        headers = {"Accept-Ranges": "bytes"}
        headers |= {"Content-Range": f"bytes {start}-{end - 1}/{size}"} if part else {}
        self._head(HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK, kind, end - start, headers)
        file.seek(start)
        left = 0 if self.command == "HEAD" else end - start
        while left and (piece := file.read(min(PIECE, left))):
            self.wfile.write(piece)
            left -= len(piece)
        self.close_connection = self.close_connection or left > 0

    def _refuse(self, status: HTTPStatus, why: str, headers: Mapping[str, str] | None = None) -> None:
        if self.command == "POST":
            # Its body may not have been read.
            self.close_connection = True
        content = json.dumps({"error": why}).encode()
        self._send(content, "application/json", status, headers or {})

    def _send(
        self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
    ) -> None:
        self._head(status, kind, len(content), headers or {})
        if self.command != "HEAD":
            self.wfile.write(content)

    def _head(self, status: HTTPStatus, kind: str, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        own = {"Content-Type": kind, "Content-Length": str(length)}
        own |= {"Connection": "close"} if self.close_connection else {}
        for name, value in (HEADERS | own | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Log without the token: logs are shown to others."""
        log.debug("%s", (format % args).replace(self.server.site.token, "..."))


def _one(asked: Mapping[str, list[str]], name: str) -> str:
    values = asked.get(name, [])
    if len(values) != 1:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{name}: one value is needed")
    return values[0]


def _number(asked: Mapping[str, list[str]]) -> int:
    number = int(_one(asked, "n")) if "n" in asked else FIRST
    if not 0 < number <= MOST:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"n: 1 to {MOST} moments can be asked for")
    return number


def _seconds(asked: Mapping[str, list[str]], name: str) -> float:
    value = float(_one(asked, name))
    if not 0 <= value < float("inf"):
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{name}: seconds from 0 on are needed")
    return value
