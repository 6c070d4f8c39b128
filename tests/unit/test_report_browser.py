"""The report in a browser without a window; skipped where there is no Chromium, chromedriver or Selenium."""

import json

import pytest

from tests.report_browser import browser
from tests.unit.test_reporting import metrics, page, row, timelines
from workflow_scripts.lib.predictions.references import Reference

pytestmark = pytest.mark.slow

N = 300
EVIL = "<img src=x onerror=document.title='run'>"


def made_page() -> str:
    """Return a report of many queries, a third of them missed; videos are gone."""
    kinds, span = ("picture", "sound"), (0.0, 10.0)
    references = [
        Reference(f"q/{n} #%", "video", f"query {n} {EVIL}", 20.0, span, {"kind": kinds[n % 2]}) for n in range(N)
    ]
    rows = [row(each.query_id, *((12.0, 15.0) if n % 3 == 0 else (0.0, 9.0))) for n, each in enumerate(references)]
    entries = sorted(timelines(references, rows), key=lambda entry: entry["quality"][0])
    speech = [[1.0, 2.0, EVIL], [3.0, 4.0, "hello"]]
    return page(entries, metrics(), EVIL, videos={"video": {"src": "gone.mp4", "codec": "hevc", "speech": speech}})


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A driver that shows the page."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(made_page(), encoding="utf-8")
    with browser(path, 420) as driver:
        if driver is None:
            pytest.skip("no Chromium, chromedriver or Selenium here")
        driver.implicitly_wait(10)
        yield driver


def run(driver, script):
    return driver.execute_script(f"return {script}")


def press(driver, key):
    event = f"new KeyboardEvent('keydown', {json.dumps({'key': key})})"
    run(driver, f"document.querySelector('[role=listbox]').dispatchEvent({event})")


def filtered(driver, name, value):
    script = """
    const field = [...document.querySelectorAll('.filters label')].find(l => l.textContent.startsWith(arguments[0]));
    const input = field.querySelector('select, input');
    input.value = arguments[1];
    input.dispatchEvent(new Event(input.tagName === 'SELECT' ? 'change' : 'input'));
    return document.querySelector('.filters output').textContent;
    """
    return driver.execute_script(script, name, value)


HEADING = "document.querySelector('.detail h3').textContent"


def test_every_query_can_be_reached_though_few_are_in_the_page(opened):
    assert filtered(opened, "what became", "") == f"{N} of {N}"
    assert run(opened, "document.querySelectorAll('[role=option]').length") < 60
    press(opened, "End")
    assert run(opened, "document.querySelector('[aria-selected=true]').getAttribute('aria-posinset')") == str(N)
    press(opened, "Home")
    assert run(opened, HEADING) == f"query 0 {EVIL}"
    press(opened, "ArrowDown")
    assert run(opened, HEADING) == f"query 3 {EVIL}"


def test_queries_are_filtered_searched_and_linked(opened):
    assert filtered(opened, "what became", "elsewhere") == f"100 of {N}"
    assert filtered(opened, "kind", "sound") == f"50 of {N}"
    assert filtered(opened, "words", "query 297") == f"1 of {N}"
    assert run(opened, "decodeURIComponent(location.hash)") == "#q/3 #%"
    opened.execute_script("location.hash = encodeURIComponent('q/7 #%')")
    assert (
        opened.execute_async_script(
            "const done = arguments[0]; setTimeout(() => done(document.querySelector('.detail h3').textContent), 300)"
        )
        == f"query 7 {EVIL}"
    )
    assert filtered(opened, "words", "") == f"{N} of {N}"


def test_what_people_wrote_is_not_run(opened):
    assert run(opened, "document.title") != "run"
    assert run(opened, "document.querySelectorAll('img[src=x]').length") == 0
    assert EVIL in run(opened, "document.querySelector('.said').textContent")


def test_a_video_that_is_gone_is_told_with_its_codec(opened):
    told = opened.execute_async_script(
        "const done = arguments[0]; const look = () => { const warn = document.querySelector('.detail .warn');"
        "warn ? done(warn.textContent) : setTimeout(look, 100); }; look()"
    )
    assert "the file is gone since this page was made, or this browser cannot play it (hevc)" in told


def test_the_time_that_is_pointed_at_is_marked_there(opened):
    off_by = opened.execute_script("""
    const axis = document.querySelector('.axis').getBoundingClientRect();
    const at = { clientX: axis.left + axis.width / 4, clientY: axis.top, bubbles: true };
    document.querySelector('.lanes').dispatchEvent(new PointerEvent('pointermove', at));
    return document.querySelector('.cursor').getBoundingClientRect().left - at.clientX;
    """)
    assert abs(off_by) <= 1


def test_nothing_runs_off_a_narrow_screen(opened):
    assert run(opened, "document.documentElement.scrollWidth <= window.innerWidth")
    assert not [entry for entry in opened.get_log("browser") if "Content Security Policy" in entry["message"]]
