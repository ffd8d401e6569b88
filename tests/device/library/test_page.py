"""The Python of the library's page runs as it stands there, one block after the other."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from fer_edge.types import RgbImage

PAGE = Path(__file__).parents[3] / "docs" / "library.md"


def test_the_page_runs(
    bundle_path: Path,
    photo_path: Callable[[str], Path],
    moving: list[RgbImage],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Only what this machine lacks is another: drawn faces for the camera, a clip for OpenCV's, a list for a socket."""
    pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed: pip install 'fer-edge[mqtt]'")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 7
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FER_EDGE_BUNDLE", str(bundle_path))
    (tmp_path / "photo.jpg").write_bytes(photo_path("grace_hopper.jpg").read_bytes())
    writer = cv2.VideoWriter("clip.avi", cv2.VideoWriter_fourcc(*"MJPG"), 10, moving[0].shape[1::-1])
    for picture in moving[:3]:
        writer.write(np.ascontiguousarray(picture[:, :, ::-1]))
    writer.release()
    sent: list[Any] = []

    async def send_json(document: Any) -> None:
        sent.append(document)

    names: dict[str, Any] = {"websocket": SimpleNamespace(send_json=send_json)}
    drawn = "fer_edge.open_source('synthetic://?n=3&faces=1')"
    for block in blocks:
        text = block.replace('"v4l2:///dev/video0"', "'synthetic://?n=3&faces=1'").replace("(0)", "('clip.avi')")
        exec(f"import fer_edge\nframes = {drawn}", names)
        code = compile(text, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)
        if inspect.isawaitable(result):
            asyncio.run(asyncio.wait_for(result, 120))  # type: ignore[arg-type]
    assert len(sent) == 3
    assert len(Path("readings.jsonl").read_text().splitlines()) == 3
    assert cv2.imread("out.png").shape == cv2.imread("photo.jpg").shape
    assert "neutral" in capsys.readouterr().out
