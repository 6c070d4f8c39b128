"""The page on this machine: who is let in, what is sent, what is kept; asked of a server that runs."""

import contextlib
import http.client
import json
import threading
from types import SimpleNamespace
from urllib.parse import quote, urlencode

import numpy as np
import pytest

from models.systems.interface import FeatureRows
from models.systems.zero_shot.config import Config
from models.systems.zero_shot.corpus import Corpus, Moment
from tests.markdown_pages import ROOT
from workflow_scripts.lib.browsing.answers import MOST, Answers, signed_parts
from workflow_scripts.lib.browsing.corrections import Corrections
from workflow_scripts.lib.browsing.ranges import byte_range
from workflow_scripts.lib.browsing.server import LARGEST_BODY, PAGES, Server, Site
from workflow_scripts.lib.datasets.readers import plain
from workflow_scripts.lib.errors import UserError

CLIP = ROOT / "tests" / "data" / "videos" / "bigbuckbunny.mp4"
WORDS = {"a dog": [1.0, 0.0, 0.0], "water": [0.0, 1.0, 0.0], "snow": [0.0, 0.0, 1.0]}


class MadeSearcher:
    """Knows three words, and two videos of three rows."""

    stream, least = "visual", 0.5

    def __init__(self):
        self.files = {"trip/a": "trip/a.mp4", "b": "b.mp4", "lost": None}
        rows = np.eye(3, dtype=np.float32)
        times = np.array([[0, 2], [2, 4], [4, 6]], np.float32)
        self._corpus = Corpus({"trip/a": FeatureRows(rows, times), "b": FeatureRows(rows[:2], times[:2])}, Config())

    def row_of(self, parts):
        return np.sum([sign * np.array(WORDS[text], np.float32) for sign, text in parts], axis=0)

    def row_at(self, video_id, time_s):
        return self._corpus.row_at(video_id, time_s)

    def moments(self, row, keep):
        return self._corpus.moments(row, keep, -1.0)


@contextlib.contextmanager
def serving(made):
    """Yield a server of a site that runs, with its token and host."""
    server = Server(made)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield SimpleNamespace(server=server, token=made.token, host=server.hosts[0])
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def site(tmp_path):
    """A server that runs."""
    folder = tmp_path / "videos"
    (folder / "trip").mkdir(parents=True)
    (folder / "trip" / "a.mp4").write_bytes(CLIP.read_bytes())
    (folder / "b.mp4").write_bytes(b"0123456789")
    (tmp_path / "secret").write_text("secret")
    answers = Answers([MadeSearcher()])
    kept = tmp_path / "kept.jsonl"
    with serving(Site("trips", folder, answers, Corrections(kept, answers.files))) as made:
        made.kept = kept
        yield made


def ask(site, path, method="GET", body=None, token=None, **headers):
    """Return status, headers and content of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", site.server.server_port, timeout=30)
    own = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, f"/{token or site.token}/{path}", body, own)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def keep(site, moment, **headers):
    body = moment if isinstance(moment, bytes) else json.dumps(moment).encode()
    status, _, content = ask(site, "moments", "POST", body, **({"Content_Type": "application/json"} | headers))
    return status, json.loads(content)


MOMENT = {"video": "trip/a", "query": "a dog runs", "start": 1.0, "end": 2.5}


# Who is let in


def test_the_page_and_its_files_come_with_the_token_and_may_load_nothing_from_elsewhere(site):
    for route in PAGES:
        status, headers, content = ask(site, route)
        assert status == 200
        assert content
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["Referrer-Policy"] == "no-referrer"
    assert b"http" not in ask(site, "browse.js")[2]
    assert b"innerHTML" not in ask(site, "browse.js")[2]


@pytest.mark.parametrize("route", ["", "about", "search?q=water", "video?id=b", "nothing"])
def test_a_wrong_token_is_refused(site, route):
    for token in ("wrong", site.token[:-1], site.token + "x", "%00"):
        status, _, content = ask(site, route, token=token)
        assert status == 403
        assert b"lacks the token" in content
    assert site.token not in str(ask(site, route, token="wrong"))


def test_an_address_without_a_token_is_refused(site):
    for path in ("/", "/about", f"/{site.token}"):
        connection = http.client.HTTPConnection("127.0.0.1", site.server.server_port)
        connection.request("GET", path)
        assert connection.getresponse().status == 403


def test_two_servers_have_two_tokens(site):
    assert Site("a", None, None, None).token != Site("a", None, None, None).token
    assert len(site.token) >= 32


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", ""])
def test_another_host_is_refused(site, host):
    status, _, content = ask(site, "about", Host=host)
    assert (status, json.loads(content)) == (403, {"error": "another host"})


@pytest.mark.parametrize("origin", ["http://evil.example", "https://{host}", "http://127.0.0.1:1", "null"])
def test_another_origin_is_refused_to_read_and_to_write(site, origin):
    origin = origin.format(host=site.host)
    assert ask(site, "about", Origin=origin)[0] == 403
    assert keep(site, MOMENT, Origin=origin)[0] == 403
    assert not site.kept.exists()


def test_our_own_origin_is_let_in(site):
    assert ask(site, "about", Origin=f"http://{site.host}")[0] == 200
    port = site.server.server_port
    assert ask(site, "about", Host=f"localhost:{port}", Origin=f"http://localhost:{port}")[0] == 200


def test_the_server_listens_on_this_machine_only(site):
    assert site.server.server_address[0] == "127.0.0.1"
    assert site.server.address == f"http://127.0.0.1:{site.server.server_port}/{site.token}/"


def test_a_port_that_cannot_be_had_is_told(site):
    for port in (site.server.server_port, 99999):
        with pytest.raises(UserError, match=f"--port {port}: .*leave it out"):
            Server(site.server.site, port)


# What is sent


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", "trip/../../secret", "trip/a.mp4", "lost", "", "trip/a\0"]
)
def test_nothing_outside_is_sent_whatever_is_asked_for(site, path):
    assert ask(site, f"video?{urlencode({'id': path})}")[0] == 404
    assert ask(site, f"picture?{urlencode({'id': path, 't': 0})}")[0] == 404
    for route in (f"video/{quote(path)}", f"../{path}", quote(path) or "x", f"browse.js/../{quote(path)}"):
        if route not in PAGES:
            status, _, content = ask(site, route.replace("\0", "%00"))
            assert status in (400, 403, 404)
            assert content != b"secret"


def test_a_video_that_is_gone_since_the_start_is_told(site):
    (site.server.site.folder / "b.mp4").unlink()
    status, _, content = ask(site, "video?id=b")
    assert (status, json.loads(content)) == (404, {"error": "no video 'b'"})


def test_players_get_the_parts_they_ask_for(site):
    def part(asked):
        status, headers, content = ask(site, "video?id=b", Range=asked)
        return status, headers.get("Content-Range"), content

    assert part("bytes=2-4") == (206, "bytes 2-4/10", b"234")
    assert part("bytes=7-") == (206, "bytes 7-9/10", b"789")
    assert part("bytes=-3") == (206, "bytes 7-9/10", b"789")
    assert part("bytes=5-99") == (206, "bytes 5-9/10", b"56789")
    assert part("bytes=10-")[:2] == (416, "bytes */10")
    assert part("bytes=0-1,3-4") == (200, None, b"0123456789")
    status, headers, content = ask(site, "video?id=b", "HEAD")
    assert (status, headers["Content-Length"], headers["Accept-Ranges"], content) == (200, "10", "bytes", b"")
    assert headers["Content-Type"] == "video/mp4"


@pytest.mark.parametrize(
    ("header", "found"),
    [(None, None), ("bytes=0-0", (0, 1)), ("bytes=-99", (0, 10)), ("bytes=-", None), ("lines=1-2", None)],
)
def test_ranges_are_read_as_the_standard_says(header, found):
    assert byte_range(header, 10) == found


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=4-2", "bytes=-0"])
def test_ranges_without_a_byte_are_refused(header):
    with pytest.raises(ValueError, match="of 10"):
        byte_range(header, 10)


def test_pictures_are_made_of_what_can_be_decoded(site):
    status, headers, content = ask(site, "picture?id=trip/a&t=0.5")
    assert (status, headers["Content-Type"], content[:3]) == (200, "image/jpeg", b"\xff\xd8\xff")
    assert ask(site, "picture?id=b&t=0")[0] == 404
    assert ask(site, "picture?id=trip/a&t=nan")[0] == 400
    assert ask(site, "picture?id=trip/a&t=-1")[0] == 400


# What is found


def search(site, query):
    return json.loads(ask(site, f"search?{urlencode({'q': query})}")[2])


def test_sentences_are_added_and_subtracted(site):
    first = search(site, "water")[0]
    assert (first["score"], first["streams"], first["is_chance"]) == (1.0, ["visual"], False)
    assert any(moment["is_chance"] for moment in [*search(site, "snow")])
    assert {moment["video"] for moment in search(site, "a dog + water") if moment["score"] > 0.7} == {"trip/a", "b"}
    assert search(site, "a dog + water - snow")[0]["score"] == pytest.approx(3**-0.5, abs=1e-4)
    for nothing in ("", "- snow", "!"):
        assert "nothing to look for" in search(site, nothing)["error"]


class Listed:
    """Finds the same moments whatever is asked."""

    def __init__(self, stream, *moments):
        self.stream, self.least, self._moments = stream, 0.5, list(moments)

    def row_of(self, parts):
        return None

    def moments(self, row, keep):
        return self._moments[:keep]


def test_what_any_sentence_gets_comes_after_what_is_found():
    ignorant = Listed("visual", Moment("a", 0.0, 9.0, 0.4), Moment("b", 0.0, 9.0, 0.3), Moment("c", 0.0, 1.0, 0.2))
    knowing = Listed("captions", Moment("b", 2.0, 4.0, 0.9), Moment("d", 0.0, 1.0, 0.1))
    answers = Answers([ignorant, knowing])
    found = [(each["video"], each["streams"], each["is_chance"]) for each in answers.to("a dog")]
    # Of the moment that is found, the other stream says nothing more.
    chance = [("a", ["visual"], True), ("d", ["captions"], True), ("c", ["visual"], True)]
    assert found == [("b", ["captions"], False), *chance]
    assert [each["video"] for each in answers.to("a dog", 2)] == ["b", "a"]
    assert answers.to("a dog + water")[0]["video"] == "b"
    assert not any(each["is_chance"] for each in answers.to("a dog + water"))


def test_as_many_moments_as_are_asked_for(site):
    def found(n):
        status, _, content = ask(site, f"search?q=water&n={n}")
        return len(json.loads(content)) if status == 200 else status

    n_all = len(json.loads(ask(site, "search?q=water")[2]))
    assert (found(1), found(MOST)) == (1, n_all)
    assert len(json.loads(ask(site, "like?id=b&t=1&n=1")[2])) == 1
    assert [found(n) for n in ("0", MOST + 1, "x", "", "-1")] == [400] * 5


def test_signs_stand_between_blanks():
    assert signed_parts("a + b - c") == [(1, "a"), (1, "b"), (-1, "c")]
    assert signed_parts("a T-shirt - red+blue") == [(1, "a T-shirt"), (-1, "red+blue")]
    assert signed_parts("- c") == [(-1, "c")]
    assert signed_parts(" ") == []


def test_more_like_a_frame(site):
    found = json.loads(ask(site, "like?id=trip/a&t=3")[2])
    assert {(moment["video"], moment["start"]) for moment in found if moment["score"] > 0.9} >= {("trip/a", 2.0)}
    # The last row ends at 4 s.
    assert json.loads(ask(site, "like?id=b&t=4.9")[2])[0]["score"] == 1.0
    assert json.loads(ask(site, "like?id=b&t=5.1")[2]) == []
    assert json.loads(ask(site, "like?id=nobody&t=1")[2]) == []


# What is kept


def test_a_corrected_moment_becomes_an_annotation_that_training_reads(site, tmp_path):
    assert keep(site, MOMENT)[0] == 200
    assert keep(site, MOMENT | {"start": 2.0, "end": 4.0})[0] == 200
    assert keep(site, MOMENT | {"start": 10.0, "end": 11.0})[0] == 200
    assert keep(site, MOMENT | {"video": "b", "query": "<b>\n„water“</b>"})[0] == 200
    annotations = plain.read({"train": site.kept}, "trips")
    # The second corrects the first, which it overlaps; the third is a further moment of the same query.
    assert [row["text"] for row in annotations.queries] == ["a dog runs", "<b> „water“</b>"]
    assert [(row["start_s"], row["end_s"]) for row in annotations.moments] == [(2.0, 4.0), (10.0, 11.0), (1.0, 2.5)]
    assert json.loads(ask(site, "about")[2])["kept"]["moments"] == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"video": "nobody"}, "is none of this dataset"),
        ({"video": "lost"}, "is none of this dataset"),
        ({"video": ["trip/a"]}, "is none of this dataset"),
        ({"query": " "}, "a sentence"),
        ({"query": "x" * 2001}, "a sentence"),
        ({"end": 1.0}, "no moment"),
        ({"start": -1}, "no moment"),
        ({"start": True}, "no moment"),
        ({"end": "3"}, "no moment"),
        ({"end": float("inf")}, "no moment"),
        ({"end": float("nan")}, "no moment"),
    ],
)
def test_what_is_no_moment_is_not_kept(site, change, told):
    status, found = keep(site, MOMENT | change)
    assert status == 400
    assert told in found["error"]
    assert not site.kept.exists()


def test_forms_large_bodies_and_other_content_are_refused(site):
    assert keep(site, MOMENT, Content_Type="text/plain")[0] == 415
    assert keep(site, MOMENT, Content_Type="application/x-www-form-urlencoded")[0] == 415
    assert keep(site, b"[]")[0] == 400
    assert keep(site, b"{")[0] == 400
    assert keep(site, b" " * (LARGEST_BODY + 1))[0] == 413
    assert ask(site, "moments")[0] == 404
    assert not site.kept.exists()


def test_a_file_with_something_else_is_left_as_it_is(tmp_path):
    path = tmp_path / "kept.jsonl"
    path.write_text('{"video": "a"}\n')
    with pytest.raises(UserError, match=r"kept\.jsonl:1: no marked moment"):
        Corrections(path, {})
    with pytest.raises(UserError, match=r"something\.jsonl"):
        Corrections(tmp_path / "kept.csv", {})
    assert path.read_text() == '{"video": "a"}\n'
