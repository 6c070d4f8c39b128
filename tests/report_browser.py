"""A browser without a window that shows a page, where Chromium, its driver and Selenium are there."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@contextlib.contextmanager
def browser(page: Path | str, width: int) -> Iterator[Any]:
    """Yield a Selenium driver that shows a file or an address in a window of so many pixels; None without a browser."""
    chromium, driver_file = shutil.which("chromium"), shutil.which("chromedriver")
    try:
        from selenium import webdriver
    except ImportError:
        chromium = None
    if not chromium or not driver_file:
        yield None
        return
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options, webdriver.ChromeService(driver_file))
        try:
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            driver.get(page.resolve().as_uri() if isinstance(page, Path) else page)
            yield driver
        finally:
            driver.quit()


def violations(driver: Any, axe: Path) -> list[str]:
    """Return the rules of axe-core that a page breaks."""
    driver.execute_script(axe.read_text(encoding="utf-8"))
    return driver.execute_async_script(
        "const done = arguments[0]; axe.run().then(r => done(r.violations.map(v => v.id)))"
    )
