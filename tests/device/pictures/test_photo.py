"""Photos: the eight EXIF codes, and what is refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fer_edge.errors import ImageError
from fer_edge.pictures.photo import (
    MAX_PIXELS,
    apply_orientation,
    decode_photo,
    exif_orientation,
    header_size,
    read_photo,
)

# What each code does to a stored picture to show it upright, as the standard's table has it.
UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: np.fliplr(stored),
    3: lambda stored: np.rot90(stored, 2),
    4: lambda stored: np.flipud(stored),
    5: lambda stored: np.swapaxes(stored, 0, 1),
    6: lambda stored: np.rot90(stored, -1),  # a quarter to the right
    7: lambda stored: np.rot90(np.swapaxes(stored, 0, 1), 2),
    8: lambda stored: np.rot90(stored, 1),
}


def picture(height: int = 60, width: int = 80) -> NDArray[np.uint8]:
    """A smooth BGR picture whose four quarters differ."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[: height // 2, : width // 2] = (0, 0, 220)
    image[: height // 2, width // 2 :] = (0, 200, 0)
    image[height // 2 :, : width // 2] = (210, 0, 0)
    image[height // 2 :, width // 2 :] = (230, 230, 230)
    return image


def jpeg(image: NDArray[np.uint8]) -> bytes:
    ok, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 98])
    assert ok
    return bytes(content)


def tiff(code: int, order: str = "<", kind: int = 3, other_tags: int = 0) -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = b"".join(struct.pack(order + "HHII", 0x0100 + i, 4, 1, 7) for i in range(other_tags))
    entries += struct.pack(order + "HHIHH", 0x0112, kind, 1, code, 0)
    return mark + struct.pack(order + "IH", 8, other_tags + 1) + entries + b"\0\0\0\0"


def with_exif(content: bytes, exif: bytes, before: bytes = b"") -> bytes:
    payload = b"Exif\0\0" + exif
    return content[:2] + before + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + content[2:]


@pytest.mark.parametrize("code", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_orientation_comes_out_upright(code: int, order: str, tmp_path: Path) -> None:
    stored = picture()
    file = tmp_path / "photo.jpg"
    file.write_bytes(with_exif(jpeg(stored), tiff(code, order, other_tags=code % 3)))
    photo = read_photo(file)
    expected = UPRIGHT[code](stored)[:, :, ::-1]
    assert photo.original_hw == expected.shape[:2] == photo.image.shape[:2]
    assert np.abs(photo.image.astype(int) - expected).mean() < 2
    assert photo.image.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("code", range(1, 9))
def test_orientation_of_pixels(code: int) -> None:
    stored = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    np.testing.assert_array_equal(apply_orientation(stored, code), UPRIGHT[code](stored))


@pytest.mark.parametrize("code", [0, 9, 77, 65535])
def test_codes_outside_the_standard_leave_the_picture(code: int) -> None:
    assert exif_orientation(with_exif(jpeg(picture()), tiff(code))) == 1


def test_exif_after_another_app1_is_found() -> None:
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x/>"
    before = b"\xff\xe1" + struct.pack(">H", len(xmp) + 2) + xmp
    assert exif_orientation(with_exif(jpeg(picture()), tiff(6), before)) == 6


@given(st.binary(max_size=60))
def test_any_exif_is_read_or_ignored(noise: bytes) -> None:
    assert 1 <= exif_orientation(with_exif(b"\xff\xd8\xff\xd9", noise)) <= 8
    assert 1 <= exif_orientation(with_exif(b"\xff\xd8\xff\xd9", b"II*\0" + noise)) <= 8
    assert exif_orientation(noise) == 1 or noise.startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    ("hw", "expected"), [((900, 1500), (600, 1000)), ((1500, 900), (1000, 600)), ((600, 700), None)]
)
def test_large_photos_are_scaled_by_the_short_side(hw: tuple[int, int], expected: tuple[int, int] | None) -> None:
    photo = decode_photo(jpeg(picture(*hw)), "photo")
    assert photo.image.shape[:2] == (expected or hw)
    assert photo.original_hw == hw
    assert photo.scale == pytest.approx(600 / min(hw) if expected else 1.0)


def test_small_photos_are_never_enlarged() -> None:
    photo = decode_photo(jpeg(picture(30, 40)), "photo")
    assert photo.image.shape == (30, 40, 3)
    assert photo.scale == 1


def test_gray_and_alpha_become_rgb() -> None:
    for image in (np.full((20, 30), 90, np.uint8), np.full((20, 30, 4), 90, np.uint8)):
        ok, content = cv2.imencode(".png", image)
        assert ok
        found = decode_photo(bytes(content), "photo").image
        assert found.shape == (20, 30, 3)
        assert (found == 90).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b"this is text, not a photo\n" * 20, "cannot be read"),
        (b"\xff\xd8", "cut off"),
        (b"\x89PNG\r\n\x1a\n", "cannot be read"),
        (jpeg(picture())[:700], "cut off"),
    ],
)
def test_not_a_picture(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(content)
    with pytest.raises(ImageError, match=said) as error:
        read_photo(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8, 0.95, 0.999])
def test_a_jpeg_cut_anywhere_is_refused(share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    content = with_exif(jpeg(noise), tiff(1) + jpeg(picture(16, 16)))  # a thumbnail, whole, with an end of its own
    decode_photo(content, "photo")
    with pytest.raises(ImageError, match="cut off"):
        decode_photo(content[: int(len(content) * share)], "photo")


def test_bytes_after_the_end_are_no_harm() -> None:
    decode_photo(jpeg(picture()) + b"trailing bytes of a motion photo", "photo")


def test_a_png_s_color_profile_is_left_out_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    image = picture()
    ok, content = cv2.imencode(".png", image)
    assert ok
    broken = b"iCCP" + b"icc\0\0not deflated"
    chunk = struct.pack(">I", len(broken) - 4) + broken + struct.pack(">I", zlib.crc32(broken))
    found = decode_photo(bytes(content)[:33] + chunk + bytes(content)[33:], "photo").image
    np.testing.assert_array_equal(found, image[:, :, ::-1])
    assert capfd.readouterr().err == ""


def test_no_such_photo_and_folders(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.jpg", tmp_path):
        with pytest.raises(ImageError, match=str(path)):
            read_photo(path)


def huge_png() -> bytes:
    header = struct.pack(">IIBBBBB", 50_000, 40_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def huge_jpeg() -> bytes:
    content = bytearray(jpeg(picture()))
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", 40_000, 50_000)
    return bytes(content)


@pytest.mark.parametrize("content", [huge_png(), huge_jpeg()], ids=["png", "jpeg"])
def test_huge_dimensions_are_refused_before_decoding(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    assert header_size(content) == (40_000, 50_000)
    with pytest.raises(ImageError, match=f"50000 x 40000 px, expected at most {MAX_PIXELS // 1_000_000} megapixels"):
        decode_photo(content, "photo")
