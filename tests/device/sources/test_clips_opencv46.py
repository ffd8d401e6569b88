"""The same clips with Debian 12's OpenCV 4.6, which tells of turns, stamps and ends otherwise than pip's 4.11."""

from __future__ import annotations

import subprocess
from pathlib import Path

import debian12
from made_clips import needs_ffmpeg

pytestmark = needs_ffmpeg
NAMES = ("test_clips.py", "test_clips_faces.py")


def test_every_test_of_clips_passes_with_opencv_46() -> None:
    env = debian12.environment()
    line = [debian12.PROGRAM, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    line += [str(Path(__file__).with_name(name)) for name in NAMES]
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
