"""The web page in a real headless Chromium, served by ``fer-edge run`` on a clip made of a real photo."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import web_helpers as helpers
from browser_helpers import (
    chromium,
    next_reading,
    no_complaints,
    pixels,
    shot,
    text,
    wait_for_picture,
    wait_for_text,
)

from fer_edge.pictures.annotate import COLORS
from fer_edge.types import RgbImage

BUNDLE = os.environ.get("FER_TEST_BUNDLE", "")
BOX = np.array(COLORS[0])  # of the first face
pytestmark = pytest.mark.skipif(not BUNDLE, reason="no bundle: set FER_TEST_BUNDLE (make test does)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def clip(astronaut: RgbImage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "still.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (512, 512))
    for _ in range(30):
        writer.write(astronaut[:, :, ::-1])
    writer.release()
    return path


@pytest.fixture(scope="module")
def page(clip: Path) -> Iterator[str]:
    source = ("--source", clip, "--loop", "--realtime", "--web", "--web-port", 0, "--bundle", BUNDLE)
    with helpers.fer_edge("run", *source) as (_, url):
        yield url


def is_box_colored(image: RgbImage, x: float, y: float) -> bool:
    """Whether the box's color is within 2 px of a point (JPEG, scaling)."""
    around = image[max(0, round(y) - 2) : round(y) + 3, max(0, round(x) - 2) : round(x) + 3].astype(int)
    return bool((np.abs(around - BOX).sum(axis=2) < 120).any())


def test_every_one_of_eight_tabs_shows_what_is_read_when_it_is_looked_at(page: str) -> None:
    """A browser has six connections to a server: hidden tabs must keep none, or the seventh does not load."""
    with chromium() as many:
        for number in range(8):
            if number:
                many.switch_to.new_window("tab")
            many.get(page)
        for tab in many.window_handles:
            many.switch_to.window(tab)
            wait_for_text(many, "badge", "live")
            wait_for_picture(many)


def test_live_picture_with_the_box_over_the_face(browser: Any, page: str, photo_path: Callable[[str], Path]) -> None:
    browser.get(page)
    wait_for_text(browser, "badge", "live")
    wait_for_picture(browser)
    reading = next_reading(browser)
    assert len(reading["faces"]) == 1
    x, y, w, h = reading["faces"][0]["box"]
    image = pixels(browser, "picture")
    assert image.shape[:2] == (reading["height"], reading["width"])
    edges = [(x + w * s, y + h * t) for s, t in ((0.3, 0), (0.7, 1), (0, 0.3), (1, 0.5), (0, 0.7), (1, 0.8))]
    assert [is_box_colored(image, *point) for point in edges] == [True] * 6
    assert not is_box_colored(image, x + w * 0.5, y + h * 0.25)  # the forehead is not painted over
    # and the face is where another program run finds it in the photo itself
    line = [
        sys.executable,
        "-m",
        "fer_edge.cli",
        "image",
        "--json",
        "--bundle",
        BUNDLE,
        str(photo_path("astronaut.png")),
    ]
    faces = json.loads(subprocess.run(line, capture_output=True, check=True, text=True).stdout)[0]["faces"]
    for name in ("right_eye", "left_eye", "mouth"):
        px, py = faces[0]["landmarks"][name]
        assert x < px < x + w, name
        assert y < py < y + h, name
    heading = "return document.querySelector('#faces h3').textContent"
    helpers.until(lambda: "happiness" in browser.execute_script(heading), "the face's heading says happiness")
    bars = browser.execute_script(
        "return [...document.querySelectorAll('#faces .bar')].map((bar) => parseFloat(bar.style.width))"
    )
    shares = [round(100 * p) for p in reading["faces"][0]["probabilities"].values()]
    assert len(bars) == 8
    assert max(bars) == pytest.approx(max(shares), abs=3)
    assert bars.index(max(bars)) == shares.index(max(shares))


def test_last_minute_numbers_and_screenshots(browser: Any, page: str) -> None:
    browser.get(page)
    wait_for_picture(browser)
    columns = "return document.querySelectorAll('#strip rect').length"
    helpers.until(lambda: browser.execute_script(columns) >= 4, "the strip has columns")
    number = next_reading(browser)["faces"][0]["track"]
    color = "#{:02x}{:02x}{:02x}".format(*COLORS[(number - 1) % len(COLORS)])
    lane = f"return document.querySelectorAll('#strip rect[fill=\"{color}\"]').length"
    helpers.until(lambda: browser.execute_script(lane) >= 2, "the strip has the face's line in its color")
    helpers.until(lambda: text(browser, "fps") not in ("–", "0.0"), "frames per second")
    assert text(browser, "heat")
    assert re.fullmatch(r"\d{1,2}:\d\d:\d\d.*", text(browser, "when")), text(browser, "when")
    assert re.fullmatch(r"\d+\.\d s", text(browser, "place"))
    assert not browser.find_element("id", "damaged").is_displayed()
    said = "return document.getElementById('strip').getAttribute('aria-label')"
    helpers.until(lambda: "last 60 seconds" in browser.execute_script(said), "the strip's words, anew every 5 s")
    shot(browser, "desktop.png")
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.refresh()
        wait_for_picture(browser)
        helpers.until(lambda: browser.execute_script(columns) >= 4, "the strip has columns")
        wide = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1]
        small = """return [...document.querySelectorAll("button, .button")].filter((b) => b.offsetParent)
            .map((b) => [b.textContent, b.getBoundingClientRect().height]).filter(([, h]) => h < 44)"""
        assert browser.execute_script(small) == []  # fingers
        shot(browser, "phone.png")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    no_complaints(browser)


def test_everything_is_reachable_by_keyboard_and_named(browser: Any, page: str) -> None:
    browser.get(page)
    wait_for_picture(browser)
    webdriver = pytest.importorskip("selenium.webdriver")
    seen = []
    for _ in range(4):
        webdriver.ActionChains(browser).send_keys(webdriver.Keys.TAB).perform()
        seen.append(browser.execute_script("return document.activeElement.id || document.activeElement.className"))
    assert seen == ["skip", "hide", "switch", "file"]
    unnamed = """
        const named = (e) => e.textContent.trim() || e.getAttribute("aria-label") || (e.labels && e.labels.length)
            || e.alt !== undefined && e.hasAttribute("alt");
        return [...document.querySelectorAll("button, input, a, img, svg[role]")]
            .filter((e) => !named(e)).map((e) => e.outerHTML)"""
    assert browser.execute_script(unnamed) == []
    tree = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = {node["role"]["value"] for node in tree if not node.get("ignored")}
    assert {"banner", "main", "contentinfo", "heading", "region", "button"} <= roles


def test_the_page_shows_a_turned_clip_upright(browser: Any, clip: Path, astronaut: RgbImage, tmp_path: Path) -> None:
    """What the pipeline sees: a camera that hangs on its side is turned before anything else."""
    side = tmp_path / "side.mp4"
    writer = cv2.VideoWriter(str(side), cv2.VideoWriter_fourcc(*"mp4v"), 10, (512, 400))
    for _ in range(30):
        writer.write(np.ascontiguousarray(np.rot90(astronaut[:, :400]))[:, :, ::-1])
    writer.release()
    source = ("--source", f"file://{side}?rotation=90", "--loop", "--realtime", "--web", "--web-port", 0)
    with helpers.fer_edge("run", *source, "--bundle", BUNDLE) as (_, url):
        browser.get(url)
        wait_for_picture(browser)
        shown = pixels(browser, "picture").astype(int)
        reading = next_reading(browser)
    assert shown.shape == (512, 400, 3)
    assert (reading["height"], reading["width"]) == (512, 400)
    assert len(reading["faces"]) == 1
    assert np.abs(shown - astronaut[:, :400]).mean() < 12  # upright, but for box and label


def test_a_face_says_its_zone_and_one_outside_is_not_there(browser: Any, clip: Path) -> None:
    source = ("--source", clip, "--loop", "--realtime", "--web", "--web-port", 0, "--bundle", BUNDLE)
    heading = "return [...document.querySelectorAll('#faces h3')].map((h) => h.textContent)"
    with helpers.fer_edge("run", *source, "--zones-look", "desk=0:0 1:0 1:1 0:1") as (_, url):
        browser.get(url)
        found = helpers.until(lambda: browser.execute_script(heading), "a face")
        assert re.search(r"Face \d+ \(desk\): happiness", found[0]), found
    with helpers.fer_edge("run", *source, "--zones-look", "desk=0:0.9 1:0.9 1:1 0:1") as (_, url):
        browser.get(url)
        wait_for_picture(browser)
        assert next_reading(browser)["faces"] == []
        assert browser.execute_script(heading) == []
        assert browser.find_element("id", "nobody").is_displayed()
        image = pixels(browser, "picture").astype(int)
        assert (np.abs(image - BOX).sum(axis=2) < 60).sum() < 50  # no box is drawn


def test_hidden_picture_is_not_encoded(browser: Any, page: str) -> None:
    browser.get(page)
    wait_for_picture(browser)
    browser.find_element("id", "hide").click()
    helpers.until(
        lambda: not browser.execute_script("return document.getElementById('picture').hasAttribute('src')"), ""
    )
    wait_for_text(browser, "off", "hidden")
    browser.find_element("id", "hide").click()
    wait_for_picture(browser)


def test_camera_stops_and_starts(browser: Any, page: str) -> None:
    browser.get(page)
    wait_for_picture(browser)
    browser.find_element("id", "switch").click()
    wait_for_text(browser, "badge", "camera off")
    wait_for_text(browser, "off", "The camera is off.")
    assert text(browser, "nobody") == "The camera is off: no faces are read."
    frozen = "return fetch('/api/status').then((a) => a.json()).then((s) => s.status.frames)"
    frames = browser.execute_script(frozen)
    time.sleep(1)
    assert browser.execute_script(frozen) == frames
    assert browser.execute_script("return fetch('/snapshot.jpg').then((a) => a.status)") == 503
    shot(browser, "off.png")
    browser.get_log("browser")  # the refused snapshot
    wait_for_text(browser, "switch", "Start camera")
    browser.find_element("id", "switch").click()
    wait_for_text(browser, "badge", "live")
    wait_for_picture(browser)
    helpers.until(lambda: browser.execute_script(frozen) > frames, "frames are read again")
    no_complaints(browser)


def test_photo_that_a_phone_stored_on_its_side(browser: Any, page: str, astronaut: RgbImage, tmp_path: Path) -> None:
    upright = astronaut[:400]
    photo = tmp_path / "IMG_0001.jpg"
    photo.write_bytes(helpers.on_its_side(upright))
    stored = cv2.imread(str(photo), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert stored.shape[:2] == (512, 400)  # on its side
    browser.get(page)
    browser.find_element("id", "file").send_keys(str(photo))
    helpers.until(lambda: browser.execute_script("return !document.getElementById('result').hidden"), "a result")
    assert text(browser, "found") == "1 face"
    assert "happiness" in text(browser, "photo-faces")
    assert "happiness" in browser.find_element("id", "read").get_attribute("alt")
    shown = pixels(browser, "read").astype(int)
    assert shown.shape == upright.shape
    assert np.abs(shown - upright).mean() < 12  # upright, but for box and label
    shot(browser, "photo.png")
    wrong = tmp_path / "notes.jpg"
    wrong.write_text("no picture")
    browser.find_element("id", "file").send_keys(str(wrong))
    wait_for_text(browser, "refused", "not a JPEG, PNG, WebP or BMP picture")
    browser.get_log("browser")  # the refusal


def test_faces_have_their_number_and_color_in_picture_and_list(
    browser: Any, page: str, astronaut: RgbImage, tmp_path: Path
) -> None:
    face = astronaut[:256, 96:352]
    two = np.concatenate([face, face[:, ::-1]], axis=1)
    photo = tmp_path / "two.jpg"
    photo.write_bytes(helpers.jpeg(np.ascontiguousarray(two), 95))
    browser.get(page)
    browser.find_element("id", "file").send_keys(str(photo))
    helpers.until(lambda: text(browser, "found") == "2 faces", "both are found")
    script = """return [...document.querySelectorAll("#photo-faces h4")].map((h) =>
        [h.textContent, getComputedStyle(h.querySelector(".mark")).backgroundColor])"""
    heads = browser.execute_script(script)
    image = pixels(browser, "read").astype(int)
    for number, (words, background) in enumerate(heads, 1):
        assert words.startswith(f"{number}Face {number}: ")
        color = np.array([int(part) for part in re.findall(r"\d+", background)[:3]])
        assert tuple(color) == COLORS[number - 1]
        where = np.abs(image - color).sum(axis=2) < 60
        assert where.sum() > 300  # its box and the ground of its label
    first, second = (np.nonzero(np.abs(image - np.array(COLORS[k])).sum(axis=2) < 60)[1].mean() for k in range(2))
    assert abs(first - second) > 150  # each over a face of its own
    heights = "return ['read', 'result'].map((id) => document.getElementById(id).getBoundingClientRect().height)"
    figure = "return document.querySelector('.result figure').getBoundingClientRect().height"
    picture, result = browser.execute_script(heights)
    assert browser.execute_script(figure) == pytest.approx(picture, abs=2)  # no bars above and below
    assert result > picture
    shot(browser, "two.png")


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_a_photo_with_many_faces_stays_in_sight_above_their_list(
    width: int, browser: Any, page: str, astronaut: RgbImage, tmp_path: Path
) -> None:
    row = np.concatenate([astronaut[:256, 96:352]] * 4, axis=1)
    photo = tmp_path / "eight.jpg"
    photo.write_bytes(helpers.jpeg(np.ascontiguousarray(np.concatenate([row, row])), 95))
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 1000}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.get(page)
        browser.find_element("id", "file").send_keys(str(photo))
        helpers.until(lambda: text(browser, "found") == "8 faces", "all are found")
        helpers.until(lambda: browser.execute_script("return document.getElementById('read').naturalWidth"), "decoded")
        browser.execute_script("document.querySelector('#photo-faces > :last-child').scrollIntoView({block: 'end'})")
        place = """const picture = document.getElementById("read").getBoundingClientRect(),
            last = document.querySelector("#photo-faces > :last-child").getBoundingClientRect();
            return [picture.top, picture.bottom, last.top, last.bottom, innerHeight,
                document.documentElement.scrollWidth, innerWidth]"""
        top, bottom, last, end, height, wide, screen = browser.execute_script(place)
        assert 0 <= top < bottom <= last < end <= height + 1
        assert wide <= screen
        shot(browser, f"many_{width}.png")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_comes_from_elsewhere(browser: Any, page: str) -> None:
    browser.get(page)
    wait_for_picture(browser)
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert loaded
    assert [name for name in loaded if not name.startswith(page)] == []
    # another page's script cannot put itself in: the content policy forbids it
    browser.get_log("browser")
    browser.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.bad = 1'; document.body.append(s)"
    )
    assert browser.execute_script("return window.bad") is None


def test_token_is_asked_for_refused_and_accepted(
    browser: Any, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ("--source", clip, "--loop", "--realtime", "--bundle", BUNDLE)
    web = ("--web", "--web-port", 0, "--web-address", "0.0.0.0")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    with helpers.fer_edge("run", *source, *web) as (_, address):
        token = (tmp_path / "web-token").read_text().strip()
        port = int(address.rstrip("/").rpartition(":")[2])
        url = f"http://127.0.0.1:{port}/"
        assert len(token) >= 32
        browser.get(url)
        assert browser.title == "fer-edge: token"
        shot(browser, "token.png")
        browser.find_element("id", "token").send_keys("not-the-token-at-all")
        browser.find_element("css selector", "button").click()
        helpers.until(lambda: "not the token" in browser.page_source, "the wrong token is refused")
        assert browser.get_cookies() == []
        browser.find_element("id", "token").send_keys(token)
        browser.find_element("css selector", "button").click()
        helpers.until(lambda: browser.title == "fer-edge", "the page opens")
        wait_for_picture(browser)
        (cookie,) = browser.get_cookies()
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
        assert token not in cookie["value"]
        browser.delete_all_cookies()
        browser.get(f"{url}?token={token}")
        assert browser.current_url == url  # the token does not stay in the address
        wait_for_picture(browser)
