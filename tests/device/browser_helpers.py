"""A real headless Chromium, and what is asked of the page in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import web_helpers as helpers

from fer_edge.types import RgbImage

SHOTS = Path(__file__).parents[2] / "build" / "screenshots"


@contextmanager
def chromium(*more: str) -> Iterator[Any]:
    """A browser that reaches nothing but this machine; ``more`` are flags of its command line."""
    driver_path, binary = helpers.needs("chromedriver", "chromium-driver"), helpers.needs("chromium")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    flags = ["headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1280,1000"]
    flags += ["no-first-run", "disable-background-networking", "disable-component-update", "hide-scrollbars"]
    flags += ["host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"]
    for flag in (*flags, *more):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_path))
    try:
        driver.set_script_timeout(helpers.WAIT_S)
        yield driver
    finally:
        driver.quit()


def text(browser: Any, id: str) -> str:
    return str(browser.execute_script("return document.getElementById(arguments[0]).textContent", id))


def wait_for_text(browser: Any, id: str, wanted: str) -> None:
    helpers.until(lambda: wanted in text(browser, id), f"#{id} says {wanted!r}, last {text(browser, id)!r}")


def wait_for_picture(browser: Any) -> None:
    shown = "const p = document.getElementById('picture'); return !p.hidden && p.naturalWidth"
    helpers.until(lambda: browser.execute_script(shown), "a live picture is shown")


def pixels(browser: Any, id: str) -> RgbImage:
    """What an <img> shows, as (h, w, 3) RGB."""
    script = """
        const image = document.getElementById(arguments[0]), canvas = document.createElement("canvas");
        canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
        return [canvas.width, canvas.height, Array.from(data)];"""
    width, height, values = browser.execute_script(script, id)
    return np.array(values, np.uint8).reshape(height, width, 4)[:, :, :3]


def next_reading(browser: Any) -> dict[str, Any]:
    script = """
        const done = arguments[0], events = new EventSource("events");
        events.addEventListener("reading", (event) => { events.close(); done(event.data); });"""
    return dict(json.loads(browser.execute_async_script(script))["reading"])


def shot(browser: Any, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(SHOTS / name))


def no_complaints(browser: Any) -> None:
    """Neither a script's error nor a broken content policy."""
    bad = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not bad, bad
