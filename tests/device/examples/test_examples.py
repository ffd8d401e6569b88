"""The programs of examples/ run: with a real broker, gpiozero's own mock pins, and a stand-in for ROS 2."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import standin_ros
from web_helpers import until

from fer_edge.contract.bundle import Bundle
from fer_edge.types import RgbImage

EXAMPLES = Path(__file__).parents[3] / "examples"
DRAWN = "synthetic://?n=8&faces=1"


def needs(name: str) -> Any:
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install 'fer-edge[dev]'")


@pytest.fixture(autouse=True)
def named_bundle(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """What open_reader() takes: the shipped bundle where there is one."""
    monkeypatch.setenv("FER_EDGE_BUNDLE", os.environ.get("FER_TEST_BUNDLE") or str(bundle.path))


@pytest.fixture
def clip(astronaut: RgbImage, tmp_path: Path) -> Path:
    """Six frames of a face, as AVI."""
    face = np.ascontiguousarray(astronaut[0:300, 60:420, ::-1])
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (360, 300))
    for i in range(6):
        writer.write(np.roll(face, i, axis=1))
    writer.release()
    return path


@pytest.fixture
def load() -> Iterator[Callable[[str], ModuleType]]:
    def by_name(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    yield by_name
    for name in [name for name in sys.modules if name.startswith("example_")]:
        del sys.modules[name]


def test_each_example_is_run_here_and_named_in_the_manual() -> None:
    page = (EXAMPLES.parent / "docs" / "library.md").read_text(encoding="utf-8")
    here = Path(__file__).read_text(encoding="utf-8")
    files = [path for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")]
    assert len(files) >= 7
    assert [path.name for path in files if path.name not in page or path.stem not in here] == []


def test_own_camera(clip: Path) -> None:
    line = [sys.executable, str(EXAMPLES / "own_camera.py"), str(clip)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("frame 0: face 1 came: ")
    assert ": face 1 went: " in done.stdout


def test_opencv_window(load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the window itself, which OpenCV without a display does not have: what it would be given is looked at."""
    shown: list[RgbImage] = []
    monkeypatch.setattr(cv2, "imshow", lambda _, picture: shown.append(picture), raising=False)
    monkeypatch.setattr(cv2, "waitKey", lambda _: ord("q") if len(shown) == 3 else -1, raising=False)
    load("opencv_window").main(DRAWN)
    assert [picture.shape for picture in shown] == [(480, 640, 3)] * 3


def test_gpio_smile(load: Callable[[str], ModuleType], clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The LED is on from the first smile to the end of the frames; which faces smile is the bundle's to say."""
    gpiozero = needs("gpiozero")
    from gpiozero.pins.mock import MockFactory

    monkeypatch.setattr(gpiozero.Device, "pin_factory", MockFactory())
    pin = gpiozero.Device.pin_factory.pin(17)
    load("gpio_smile").main(str(clip))
    states = [int(state.state) for state in pin.states if state.state is not None]
    assert states[-1] == 0
    if os.environ.get("FER_TEST_BUNDLE"):
        assert 1 in states


def test_ros2_node(
    load: Callable[[str], ModuleType], astronaut: RgbImage, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    standin_ros.put_in_place(monkeypatch)
    node = load("ros2_node").Faces()
    picture = np.ascontiguousarray(astronaut[0:300, 60:420])
    try:
        for encoding, pixels, padding in (("rgb8", picture, 0), ("bgr8", picture[:, :, ::-1], 8)):
            n = len(node.published)
            node.callbacks["/image"](standin_ros.image(np.ascontiguousarray(pixels), encoding, padding))
            until(lambda n=n: len(node.published) > n, "a reading is published")
        node.callbacks["/image"](standin_ros.image(picture, "mono8"))
    finally:
        node.destroy_node()
    first, second = (json.loads(text) for text in node.published)
    assert first["source"] == "/image"
    assert [face["track"] for face in (*first["faces"], *second["faces"])] == [1, 1]
    assert 0 <= first["published_s"] - first["t_capture_s"] < 120
    assert "mono8" in caplog.text


def test_web_service(load: Callable[[str], ModuleType], photo_path: Callable[[str], Path]) -> None:
    needs("fastapi")
    needs("httpx")
    from fastapi.testclient import TestClient

    photo = photo_path("astronaut.png").read_bytes()
    client = TestClient(load("web_service").app)
    found = client.post("/read", content=photo)
    assert found.status_code == 200, found.text
    assert len(found.json()["faces"]) == 1
    assert found.json()["faces"][0]["label"] in client.get("/labels").json()
    refused = client.post("/read", content=b"no picture")
    assert refused.status_code == 422
    assert "cannot be read as a picture" in refused.json()["detail"]


def test_asyncio_mqtt(tmp_path: Path) -> None:
    from mqtt_helpers import Broker, Ear

    broker = Broker(tmp_path, "allow_anonymous true")
    broker.start()
    ear = Ear(broker.port)
    line = [sys.executable, str(EXAMPLES / "asyncio_mqtt.py"), "synthetic://?faces=1", "127.0.0.1", str(broker.port)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: [topic for topic, *_ in ear.heard if topic.endswith("/state")], "a state arrives")
            state = next(payload for topic, payload, _ in ear.heard if topic.endswith("/state"))
            assert "expression" in json.loads(state)
            assert process.stdout is not None
            assert process.stdout.readline() == "the loop is free\n"
        finally:
            process.kill()
            ear.end()
            broker.end()


def test_notebook(photo_path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient, nbformat = needs("nbclient"), needs("nbformat")
    needs("ipykernel")
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert [cell for cell in notebook.cells if cell.get("outputs")] == [], "outputs are not committed"
    monkeypatch.setenv("PHOTO", str(photo_path("astronaut.png")))
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("face 1: " in output.get("text", "") for output in outputs)
