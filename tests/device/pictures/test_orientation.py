"""EXIF orientation in every container that has one: all come out upright, and none is turned twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_files import (
    CONTAINERS,
    UPRIGHT,
    encode,
    exif_tiff,
    jpeg,
    jpeg_with_exif,
    png_with_exif,
    quarters,
    turned_file,
    webp_with_exif,
)

from fer_edge.pictures.headers import orientation
from fer_edge.pictures.orientation import apply_orientation
from fer_edge.pictures.photo import read_photo


@pytest.mark.parametrize("code", range(1, 9))
@pytest.mark.parametrize("container", CONTAINERS)
def test_every_orientation_comes_out_upright(container: str, code: int, tmp_path: Path) -> None:
    file = tmp_path / "photo.dat"
    file.write_bytes(turned_file(container, quarters(), code))
    photo = read_photo(file)
    assert photo.flaw == ""
    assert photo.original_hw == (60, 80) == photo.image.shape[:2]
    assert np.abs(photo.image.astype(int) - quarters()[:, :, ::-1]).mean() < 3
    assert photo.image.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("code", range(1, 9))
def test_orientation_of_pixels(code: int) -> None:
    stored = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    np.testing.assert_array_equal(apply_orientation(stored, code), UPRIGHT[code](stored))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("code", [0, 9, 77, 65535])
def test_codes_outside_the_standard_leave_the_picture(code: int, order: str) -> None:
    assert orientation(jpeg_with_exif(jpeg(quarters()), exif_tiff(code, order)), "jpeg") == 1


def test_where_exif_may_stand() -> None:
    xmp = b"\xff\xe1\x00\x23http://ns.adobe.com/xap/1.0/\0<x/>"
    assert orientation(jpeg_with_exif(jpeg(quarters()), exif_tiff(6, other_tags=2), xmp), "jpeg") == 6
    png = encode(".png", quarters())
    behind = png_with_exif(png, exif_tiff(8))
    chunk = behind[33 : 33 + len(behind) - len(png)]
    assert orientation(png[:-12] + chunk + png[-12:], "png") == 8
    marked = webp_with_exif(encode(".webp", quarters()), b"Exif\0\0" + exif_tiff(3), (60, 80))
    assert orientation(marked, "webp") == 3


@given(st.binary(max_size=60))
def test_any_exif_is_read_or_ignored(noise: bytes) -> None:
    for exif in (noise, b"II*\0" + noise):
        assert 1 <= orientation(jpeg_with_exif(b"\xff\xd8\xff\xd9", exif), "jpeg") <= 8
        assert 1 <= orientation(png_with_exif(encode(".png", quarters()), exif), "png") <= 8
        assert 1 <= orientation(b"RIFF\xff\0\0\0WEBPEXIF" + bytes([len(exif), 0, 0, 0]) + exif, "webp") <= 8
        assert 1 <= orientation(exif, "tiff") <= 8
