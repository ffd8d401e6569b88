"""fer_edge in somebody else's program: importing and using it changes nothing of the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from web_helpers import jpeg

from fer_edge.contract.bundle import Bundle
from fer_edge.types import RgbImage

HOST_PROGRAM = """
import asyncio, atexit, importlib, json, logging, os, pkgutil, signal, sys, threading, time, warnings
import cv2

def state():
    return {
        "environment": dict(os.environ),
        "streams": [id(sys.stdin), id(sys.stdout), id(sys.stderr)],
        "descriptors": [(os.fstat(n).st_dev, os.fstat(n).st_ino) for n in (0, 1, 2)],
        "opencv": [cv2.getNumThreads(), cv2.getLogLevel(), cv2.useOptimized()],
        "signals": [str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)],
        "hooks": [str(sys.excepthook), str(sys.unraisablehook), str(threading.excepthook)],
        "root log": [logging.root.level, len(logging.root.handlers)],
        "warnings": len(warnings.filters),
        "folder": os.getcwd(),
        "mask": os.umask(os.umask(0o022)),
        "path": list(sys.path),
        "threads": sorted(thread.name for thread in threading.enumerate()),
    }

bundle_path, clip, photo = sys.argv[1:]
steps = {"before": state()}
import fer_edge
steps["import of fer_edge"] = state()
for module in pkgutil.walk_packages(fer_edge.__path__, "fer_edge."):
    if not module.name.endswith("__main__"):  # the program itself
        importlib.import_module(module.name)
steps["import of everything"] = state()

from pathlib import Path
from fer_edge.contract.bundle import open_bundle
from fer_edge.pictures.photo import read_photo
from fer_edge.pipeline import open_pipeline
from fer_edge.sources import open_source
from fer_edge.tracking.track import TrackSettings

pipeline = open_pipeline(open_bundle(Path(bundle_path)), tracking=TrackSettings())
steps["a pipeline opened"] = state()
read_photo(Path(photo))
steps["a photo read"] = state()
for text in (clip, "synthetic://?n=5"):
    source = open_source(text)
    for frame in source:
        pipeline.read_frame(frame)
    source.close()
steps["clips read"] = state()
reader = fer_edge.open_reader(bundle_path)
steps["a reader opened"] = state()
reader.read_batch([photo, photo])
reading = reader.read(cv2.imread(photo), order="bgr", faces=[(200, 100, 200, 200)])
fer_edge.annotate(photo, reading)
reader.read_crops([cv2.imread(photo)])
with fer_edge.open_source(clip) as frames:
    list(reader.follow(frames))

async def follow():
    with fer_edge.open_source(clip) as frames:
        async for _ in reader.afollow(frames):
            pass

asyncio.run(follow())
reader.close()
while threading.active_count() > 1:  # the one of afollow ends after the last frame was asked for
    time.sleep(0.01)
steps["a reader used"] = state()
print(json.dumps(steps))
"""


@pytest.fixture
def clip(tmp_path: Path, drawn: RgbImage) -> Path:
    """Three JPEGs in a row, which FFmpeg reads as a clip."""
    path = tmp_path / "clip.mjpeg"
    path.write_bytes(jpeg(drawn) * 3)
    return path


def test_the_host_program_stays_as_it_was(bundle: Bundle, clip: Path, tmp_path: Path, drawn: RgbImage) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(jpeg(drawn))
    line = [sys.executable, "-c", HOST_PROGRAM, str(bundle.path), str(clip), str(photo)]
    plain = {"PATH": os.environ["PATH"]}  # this process has imported fer_edge already
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, env=plain)
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout.splitlines()[-1])
    before = steps.pop("before")
    assert len(steps) == 7
    for step, after in steps.items():
        changed = {what: (before[what], after[what]) for what in before if before[what] != after[what]}
        assert not changed, f"after {step}"
