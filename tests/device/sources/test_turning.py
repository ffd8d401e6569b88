"""``rotation``, ``hflip`` and ``vflip`` for every source: clockwise, then mirrored, before anything else sees it."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_clips import encode, needs_ffmpeg, number_of, numbered, stored_as, with_matrix
from rtsp_server import RtspServer

from fer_edge.contract.names import printable
from fer_edge.errors import SourceError
from fer_edge.sources import open_source, parse_uri
from fer_edge.sources.live import LiveSource
from fer_edge.sources.open import SCHEMES, opener
from fer_edge.sources.turned import TurnedSource
from fer_edge.sources.v4l2 import V4l2Opener
from fer_edge.types import FrameSource, RgbImage

QUERIES = {  # and what numpy calls it
    "rotation=0": lambda image: image,
    "rotation=90": lambda image: np.rot90(image, -1),
    "rotation=180": lambda image: np.rot90(image, 2),
    "rotation=270": lambda image: np.rot90(image, 1),
    "hflip=1": np.fliplr,
    "vflip=1": np.flipud,
    "rotation=90&hflip=1": lambda image: np.fliplr(np.rot90(image, -1)),
    "vflip=1&rotation=270&hflip=0": lambda image: np.flipud(np.rot90(image, 1)),
}


def test_every_scheme_takes_them() -> None:
    for name, row in SCHEMES.items():
        assert {"rotation", "hflip", "vflip"} <= set(row.options), name


@pytest.mark.parametrize("query", QUERIES)
def test_drawn_faces(query: str) -> None:
    plain = next(iter(open_source("synthetic://?n=1&width=320&height=240")))
    turned = next(iter(open_source(f"synthetic://?n=1&width=320&height=240&{query}")))
    np.testing.assert_array_equal(turned.image, QUERIES[query](plain.image))
    assert turned.image.flags.c_contiguous


def test_what_a_source_tells_of_itself_is_told_of_it_turned() -> None:
    properties = {name for name, what in vars(FrameSource).items() if isinstance(what, property)}
    assert properties <= set(vars(TurnedSource))
    turned = open_source("synthetic://?n=9&fps=12&rotation=90")
    assert (turned.length, turned.nominal_fps) == (9, 12)


@pytest.mark.parametrize("query", QUERIES)
def test_a_folder_of_photos(tmp_path: Path, query: str) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), numbered(5)[:, :, ::-1])
    large = cv2.resize(numbered(5), (1600, 1200))
    cv2.imwrite(str(tmp_path / "b.png"), large)
    small, scaled = list(open_source(f"images://{tmp_path}?{query}"))
    np.testing.assert_array_equal(small.image, QUERIES[query](numbered(5)))
    assert scaled.original_hw == QUERIES[query](large).shape[:2]
    assert scaled.image.shape[:2] == QUERIES[query](np.empty((600, 800))).shape


@needs_ffmpeg
@pytest.mark.parametrize("query", QUERIES)
def test_a_clip_after_what_its_container_says(tmp_path: Path, query: str) -> None:
    """A clip whose container says 6 (turn right), and a camera that hung the wrong way besides."""
    shown = [QUERIES[query](numbered(i)) for i in range(3)]
    undone = {"rotation=90": "rotation=270", "rotation=270": "rotation=90"}
    inverse = query if "&" in query else undone.get(query, query)  # mirrored turns undo themselves
    path = with_matrix(encode(tmp_path / "x.mp4", [stored_as(np.ascontiguousarray(i), 6) for i in shown]), 6)
    frames = list(open_source(f"file://{path}?{inverse}"))
    assert [number_of(frame.image) for frame in frames] == [0, 1, 2]


def test_a_name_with_a_question_mark(tmp_path: Path) -> None:
    uri = parse_uri("file:///a/what?#1.mp4")
    assert (uri.path, uri.options) == ("/a/what?#1.mp4", {})
    uri = parse_uri("file:///a/what?.mp4?rotation=90&hflip=1")
    assert (uri.path, uri.options) == ("/a/what?.mp4", {"rotation": 90, "hflip": 1})
    uri = parse_uri("images:///photos/who? me?vflip=0")
    assert (uri.path, uri.options) == ("/photos/who? me", {"vflip": 0})
    assert parse_uri("/a/x.mp4?rotation=90").path == "/a/x.mp4?rotation=90"  # a plain path is taken as it is


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file:///x.mp4?rotation=45", "rotation is 45, expected 0, 90, 180 or 270 (degrees clockwise)"),
        ("file:///x.mp4?rotation=90&speed=2", "unknown option 'speed'; expected one of rotation, hflip, vflip"),
        ("images:///x?hflip=2", "hflip is 2, expected 0 or 1"),
        ("rtsp://host/x?rotation=left", "option rotation is 'left', expected a whole number from 0"),
        ("v4l2:///dev/video0?vflip=-1", "option vflip is '-1', expected a whole number from 0"),
    ],
)
def test_values_that_are_none(text: str, said: str) -> None:
    with pytest.raises(SourceError) as error:
        opener(parse_uri(text))
    assert said in str(error.value)


def test_a_network_camera() -> None:
    """The camera gets the rest of its URL as it was given."""
    uri = parse_uri("rtsp://me:secret@host:554/x?channel=1&rotation=90&subtype=0&hflip=1")
    assert uri.path == "rtsp://me:secret@host:554/x?channel=1&subtype=0"
    assert uri.options == {"rotation": 90, "hflip": 1}
    assert "secret" not in uri.text
    with pytest.raises(SourceError) as error:
        parse_uri("rtsp://me:secret@host/x?rotation=left")
    assert "secret" not in str(error.value)
    server = RtspServer()
    source = open_source(f"rtsp://127.0.0.1:{server.port}/x?rotation=90")
    frames = list(itertools.islice(source, 3))
    source.close()
    server.stop()
    assert {frame.image.shape for frame in frames} == {(160, 128, 3)}
    white = frames[-1].image.min(axis=2) > 200  # the square that walks along the upper edge
    assert white[:, 108:].sum() > 200
    assert white[:, :100].sum() < 20


def test_a_usb_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    class Camera:
        description = ""

        def open(self) -> None:
            return

        def read(self) -> tuple[RgbImage, float]:
            return numbered(7), 1.0

        def close(self) -> None:
            return

    monkeypatch.setattr(V4l2Opener, "__call__", lambda _: LiveSource(Camera(), "v4l2"))
    source = opener(parse_uri("v4l2:///dev/video0?rotation=270"))()
    frame = next(iter(source))
    np.testing.assert_array_equal(frame.image, np.rot90(numbered(7), 1))
    source.close()


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    """OpenCV crashes where it is given such a name, and JSON cannot hold it."""
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    Path(name).mkdir()
    cv2.imwrite(str(tmp_path / "a.png"), numbered(1))
    (tmp_path / "a.png").rename(name + os.fsdecode(b"/\xff.png"))
    (frame,) = list(open_source(f"images://{name}"))
    assert printable(frame.source) == f"{tmp_path}/caf\\xe9/\\xff.png"
    for scheme in ("rtsp", "v4l2", "csi"):
        with pytest.raises(SourceError, match=f"source {scheme}://: holds bytes that are no UTF-8"):
            parse_uri(f"{scheme}://host/caf{os.fsdecode(bytes([0xE9]))}")
