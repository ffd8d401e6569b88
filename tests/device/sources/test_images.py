"""A folder of photos as a source: order, what is left out, and damaged ones."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_files import jpeg, quarters

from fer_edge.pictures.files import natural_key
from fer_edge.sources import open_source
from fer_edge.types import Frame, FrameReading


def frames_of(folder: Path) -> tuple[list[Frame], int]:
    source = open_source(f"images://{folder}")
    return list(source), source.dropped


def test_numbers_in_names_count(tmp_path: Path) -> None:
    names = ["img1.jpg", "IMG2.jpg", "img10.jpg", "img010a.jpg", "img100.jpg", "z1.jpg"]
    for name in reversed(names):
        (tmp_path / name).write_bytes(jpeg(quarters()))
    frames, _ = frames_of(tmp_path)
    assert [Path(frame.source).name for frame in frames] == names
    assert [frame.index for frame in frames] == list(range(6))


@given(st.lists(st.text(max_size=12)))
def test_any_names_have_one_order(names: list[str]) -> None:
    """Total: no two different names are equal, and what Python cannot compare is never compared."""
    ordered = sorted(names, key=natural_key)
    assert sorted(reversed(ordered), key=natural_key) == ordered
    assert len({str(natural_key(name)) for name in set(names)}) == len(set(names))


def test_what_is_not_read_is_said_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.jpg", "b.JPEG", "c.jfif"):
        (tmp_path / name).write_bytes(jpeg(quarters()))
    for name in ("d.gif", "e.GIF", "f.dng", "notes.txt", "Thumbs.db", "LICENSE", ".hidden.gif", "._a.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "g.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")  # a photo: tried, and said why not
    (tmp_path / "folder.jpg").mkdir()
    with caplog.at_level(logging.WARNING):
        frames, dropped = frames_of(tmp_path)
    assert len(frames) == 3
    assert dropped == 4  # pictures: two GIF, one raw, one HEIC; the rest is said, and is none
    said, heic = caplog.messages
    assert "6 files are not read (1 .db, 1 .dng, 2 .gif, 1 .txt, 1 without an ending); read are .jpg" in said
    assert heic.startswith(f"skipped: photo {tmp_path / 'g.heic'}: a")


def test_a_damaged_photo_is_marked_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = jpeg(quarters(400, 400))
    (tmp_path / "a.jpg").write_bytes(content)
    (tmp_path / "b.jpg").write_bytes(content[: len(content) * 3 // 4])
    with caplog.at_level(logging.WARNING):
        frames, dropped = frames_of(tmp_path)
    assert [frame.damaged for frame in frames] == [None, True]
    assert dropped == 0
    (said,) = caplog.messages
    assert said.startswith(f"photo {tmp_path / 'b.jpg'}: damaged (it ends within its picture data)")


@pytest.mark.parametrize("form", ["raw", "percent"])
def test_a_folder_whose_name_is_not_utf8(form: str, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    with open(folder + b"/\xff.jpg", "wb") as file:
        file.write(jpeg(quarters()))
    text = os.fsdecode(folder) if form == "raw" else quote_from_bytes(folder)
    source = open_source(f"images://{text}")
    (frame,) = source
    document = FrameReading(frame, ()).to_doc()
    json.dumps(dataclasses.asdict(document), ensure_ascii=False).encode("utf-8")
    assert document.source == f"{tmp_path}/caf\\xe9/\\xff.jpg"
    assert unquote_to_bytes(str(document.path_bytes)) == folder + b"/\xff.jpg"
    assert source.name.isprintable()
