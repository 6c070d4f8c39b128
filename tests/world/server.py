"""A web server on this machine whose files, faults and answers a test decides."""

import contextlib
import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Served:
    """One address.

    Attributes
    ----------
    content : bytes
        What is served.
    etag : str or None
        Tells versions of the content apart.
    takes_ranges : bool
        Whether the server sends the part that is asked for.
    breaks_after : list of int
        Bytes after which the next answers break off, one per answer; then answers are complete.
    stalls_after : list of int
        Bytes after which the next answers send nothing more, until the client goes.
    pieces : tuple of int and float or None
        Bytes at a time and seconds between them; None: all at once.
    status : list of int
        Statuses of the next answers, without content.
    redirect : str or None
        Where to go instead.
    headers : dict
        Further headers.
    asked : list of dict
        Headers of all requests so far.
    """

    content: bytes = b""
    etag: str | None = '"1"'
    takes_ranges: bool = True
    breaks_after: list[int] = field(default_factory=list)
    stalls_after: list[int] = field(default_factory=list)
    pieces: tuple[int, float] | None = None
    status: list[int] = field(default_factory=list)
    redirect: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        """Return the checksum of the content."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def stated(self) -> dict[str, int | str]:
        """Return what a configuration file states of the content."""
        return {"size": len(self.content), "sha256": self.sha256}


class Server:
    """Addresses by path; unknown ones answer 404."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.files: dict[str, Served] = {}

    def serve(self, path: str, content: bytes = b"", **how) -> Served:
        """Add an address."""
        self.files[path] = Served(content, **how)
        return self.files[path]

    def url(self, path: str) -> str:
        """Return a whole address."""
        return f"{self.address}{path}"


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """Run a server for the time of a test."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            served = server.files.get(self.path)
            if served is None:
                self.send_error(404)
                return
            served.asked.append(dict(self.headers))
            if served.redirect:
                self.send_response(302)
                self.send_header("Location", served.redirect)
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif served.status:
                self.send_error(served.status.pop(0))
            else:
                self.send_content(served)

        def send_content(self, served: Served) -> None:
            start = self.wanted_start(served)
            if start is not None and start >= len(served.content):
                self.send_error(416)
                return
            body = served.content[start or 0 :]
            self.send_response(200 if start is None else 206)
            if start is not None:
                last, total = len(served.content) - 1, len(served.content)
                self.send_header("Content-Range", f"bytes {start}-{last}/{total}")
            if served.etag:
                self.send_header("ETag", served.etag)
            for name, value in served.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if served.stalls_after:
                self.wfile.write(body[: served.stalls_after.pop(0)])
                self.rfile.read(1)
            elif served.breaks_after:
                self.wfile.write(body[: served.breaks_after.pop(0)])
            else:
                self.send_in_pieces(body, served.pieces)

        def send_in_pieces(self, body: bytes, pieces: tuple[int, float] | None) -> None:
            step, pause_s = pieces or (len(body) or 1, 0)
            for start in range(0, len(body), step):
                self.wfile.write(body[start : start + step])
                self.wfile.flush()
                time.sleep(pause_s)

        def wanted_start(self, served: Served) -> int | None:
            asked = self.headers.get("Range")
            condition = self.headers.get("If-Range")
            if not asked or not served.takes_ranges or condition not in (None, served.etag):
                return None
            return int(asked.removeprefix("bytes=").removesuffix("-"))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        server = Server(running.server_port)
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        running.shutdown()
