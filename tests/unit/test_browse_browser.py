"""The page on this machine in a browser without a window; skipped where there is no Chromium or Selenium."""

import json
import subprocess
from types import SimpleNamespace

import pytest

from tests.report_browser import browser
from tests.unit.test_browse import CLIP, Answers, Corrections, MadeSearcher, serving
from workflow_scripts.lib.browsing.clips import Clips
from workflow_scripts.lib.browsing.server import Site
from workflow_scripts.lib.media.ffmpeg import ffmpeg_exe

pytestmark = pytest.mark.slow

SECONDS = 60
EVIL = "<img src=x onerror=document.title='run'> it's 50 % & \"more\""


class OddlyNamed(MadeSearcher):
    """Calls its videos as people do."""

    def __init__(self):
        super().__init__()
        self._corpus.video_ids[:] = ["trip/it's #1? 50% <b>", "old"]
        self.files = {"trip/it's #1? 50% <b>": "trip/it's #1? 50% <b>.mp4", "old": "old.avi"}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A driver that shows the page of two videos; no browser plays the second."""
    folder = tmp_path_factory.mktemp("it's mine")
    (folder / "trip").mkdir()
    (folder / "trip" / "it's #1? 50% <b>.mp4").write_bytes(CLIP.read_bytes())
    coded = ["-t", "5", "-an", "-vf", "scale=160:90", "-c:v", "mpeg4"]
    command = [ffmpeg_exe(), "-loglevel", "error", "-i", str(CLIP), *coded, str(folder / "old.avi")]
    subprocess.run(command, check=True)
    answers, kept = Answers([OddlyNamed()]), folder / "kept.jsonl"
    site = Site("trips", folder, answers, Corrections(kept, answers.files), Clips())
    with serving(site) as server, browser(server.server.address, 420) as driver:
        if driver is None:
            pytest.skip("no Chromium, chromedriver or Selenium here")
        driver.set_script_timeout(SECONDS)
        yield SimpleNamespace(run=driver.execute_script, driver=driver, kept=kept)


AT = "const at = id => document.getElementById(id); "
MESSAGE = "document.getElementById('message').textContent"
PLAYER = "document.getElementById('player')"


def until(opened, condition):
    """Wait for a condition and return what it gives."""
    look = f"const look = () => {{ const found = {condition}; found ? done(found) : setTimeout(look, 50); }}; look()"
    return opened.driver.execute_async_script(f"const done = arguments[0]; {look}")


def search(opened, query):
    submit = "at('message').textContent = ''; at('query').value = arguments[0]; at('search').requestSubmit()"
    opened.run(AT + submit, query)
    return until(opened, f"({MESSAGE}.startsWith('searching') ? '' : {MESSAGE})")


def choose(opened, name):
    listed = "[...document.querySelectorAll('#found button')]"
    opened.run(f"{listed}.find(b => b.textContent.includes(arguments[0])).click()", name)


def test_sentences_are_searched_added_and_subtracted(opened):
    assert search(opened, "water") == "water: 2 moments"
    assert search(opened, "a dog + water - snow").startswith("a dog + water - snow: ")
    assert "nothing to look for" in search(opened, "- snow")
    assert opened.run("return document.getElementById('message').className") == "bad"


def test_a_moment_is_played_corrected_and_kept(opened):
    search(opened, "water")
    choose(opened, "trip/it's #1? 50% <b>")
    until(opened, f"{PLAYER}.readyState >= 2")
    opened.run(
        AT + "at('start').value = 1.25; at('end').value = 3.5; at('says').value = arguments[0]",
        EVIL,
    )
    opened.run("document.getElementById('moment').requestSubmit()")
    assert until(opened, f"{MESSAGE}.startsWith('kept') && {MESSAGE}").endswith("0:01.3 – 0:03.5")
    [line] = opened.kept.read_text(encoding="utf-8").splitlines()
    row = json.loads(line)
    assert (row["video"], row["query"], row["start"], row["end"]) == ("trip/it's #1? 50% <b>.mp4", EVIL, 1.25, 3.5)
    assert opened.run("return document.title") != "run"
    assert "1 moments in" in until(opened, "document.getElementById('kept').textContent")


def test_what_the_browser_does_not_play_is_said_and_a_copy_is_shown(opened):
    search(opened, "water")
    choose(opened, "old")
    until(opened, "document.getElementById('note').textContent.includes('a small copy is shown')")
    until(opened, f"{PLAYER}.readyState >= 2")
    assert "/clip?id=old&start=0&" in opened.run(f"return {PLAYER}.currentSrc")
    assert until(opened, "document.querySelector('#found img[src]')")


def test_more_like_a_frame_that_is_shown(opened):
    search(opened, "snow")
    opened.run("document.getElementById('like').click()")
    until(opened, f"{MESSAGE}.startsWith('like this frame: ')")


def test_nothing_runs_off_a_narrow_screen_and_nothing_is_forbidden(opened):
    assert opened.run("return document.documentElement.scrollWidth <= window.innerWidth")
    assert not [entry for entry in opened.driver.get_log("browser") if "Content Security Policy" in entry["message"]]
