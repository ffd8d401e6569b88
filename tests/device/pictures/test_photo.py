"""Photos: how they are prepared, and what is refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from picture_files import encode, exif_tiff, jpeg, jpeg_with_exif, png_chunk, quarters

from fer_edge.errors import ImageError
from fer_edge.pictures.headers import stored_size
from fer_edge.pictures.photo import MAX_PIXELS, MAX_PREPARED_PIXELS, decode_photo, prepare, read_photo


@pytest.mark.parametrize(
    ("hw", "expected"), [((900, 1500), (600, 1000)), ((1500, 900), (1000, 600)), ((600, 700), None)]
)
def test_large_photos_are_scaled_by_the_short_side(hw: tuple[int, int], expected: tuple[int, int] | None) -> None:
    photo = decode_photo(jpeg(quarters(*hw)), "photo")
    assert photo.image.shape[:2] == (expected or hw)
    assert photo.original_hw == hw
    assert photo.scale == pytest.approx(600 / min(hw) if expected else 1.0)
    assert photo.image.flags["C_CONTIGUOUS"]


def test_small_photos_are_never_enlarged() -> None:
    photo = decode_photo(jpeg(quarters(30, 40)), "photo")
    assert photo.image.shape == (30, 40, 3)
    assert photo.scale == 1


@pytest.mark.parametrize("hw", [(30, 40), (1200, 900), (700, 64_000)])
def test_a_program_s_pixels_are_prepared_as_a_file_s(hw: tuple[int, int]) -> None:
    image = np.random.default_rng(3).integers(0, 256, (*hw, 3), dtype=np.uint8)
    from_file, from_array = decode_photo(encode(".png", image[:, :, ::-1]), "photo"), prepare(image)
    np.testing.assert_array_equal(from_file.image, from_array.image)
    assert (from_file.scale, from_file.original_hw) == (from_array.scale, from_array.original_hw)
    assert from_array.image.shape[0] * from_array.image.shape[1] <= MAX_PREPARED_PIXELS * 1.01


def test_no_side_is_longer_than_opencv_turns() -> None:
    """cv2.warpAffine takes 32,766 px a side; a face in a strip of 98 to 1 is cut out with it."""
    photo = prepare(np.zeros((620, 60_000, 3), np.uint8))
    cv2.warpAffine(photo.image, np.eye(2, 3), (48, 48))
    assert max(photo.image.shape) > 30_000


def test_the_original_is_kept_where_asked_for() -> None:
    image = quarters(1200, 900)
    photo = decode_photo(encode(".png", image), "photo", keep_original=True)
    assert photo.original is not None
    np.testing.assert_array_equal(photo.original, image[:, :, ::-1])
    assert decode_photo(encode(".png", image), "photo").original is None


def test_gray_and_alpha_become_rgb() -> None:
    for image in (np.full((20, 30), 90, np.uint8), np.full((20, 30, 4), 90, np.uint8)):
        found = decode_photo(encode(".png", image), "photo").image
        assert found.shape == (20, 30, 3)
        assert (found == 90).all()


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm"])
def test_every_format_by_its_content_not_its_name(ending: str, tmp_path: Path) -> None:
    file = tmp_path / "photo.dat"
    file.write_bytes(encode(ending, quarters()))
    assert np.abs(read_photo(file).image.astype(int) - quarters()[:, :, ::-1]).mean() < 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file cannot be read"),
        (b"this is text, not a photo\n" * 20, "cannot be read"),
        (b"\xff\xd8", "cannot be read"),
        (b"\xff\xd8\xff\xe0", "damaged JPEG"),
        (b"\x89PNG\r\n\x1a\n", "damaged PNG"),
        (b"GIF89a" + bytes(100), "a GIF cannot be read"),
        (b"\0\0\0\x18ftypmp42" + bytes(100), "a video cannot be read"),
        (b"\0\x05\x16\x07" + bytes(100), "AppleDouble"),
        (jpeg(quarters())[:100], "its header cannot be read"),
    ],
)
def test_not_a_picture(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(content)
    with pytest.raises(ImageError, match=said) as error:
        read_photo(file, take_damaged=True)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_png_s_color_profile_is_left_out_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    content = encode(".png", quarters())
    chunk = png_chunk(b"iCCP", b"icc\0\0not deflated")
    found = decode_photo(content[:33] + chunk + content[33:], "photo")
    np.testing.assert_array_equal(found.image, quarters()[:, :, ::-1])
    assert found.flaw == ""
    assert capfd.readouterr().err == ""


def test_no_such_photo_and_folders(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.jpg", tmp_path):
        with pytest.raises(ImageError, match=str(path)):
            read_photo(path)


def huge_png() -> bytes:
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 40_000, 8, 2, 0, 0, 0))


def huge_jpeg() -> bytes:
    content = bytearray(jpeg(quarters()))
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", 40_000, 50_000)
    return bytes(content)


@pytest.mark.parametrize("content", [huge_png(), huge_jpeg()], ids=["png", "jpeg"])
@pytest.mark.bound("PHOTO_PIXELS")
def test_huge_dimensions_are_refused_before_decoding(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    kind = "png" if content.startswith(b"\x89") else "jpeg"
    assert stored_size(content, kind) == (40_000, 50_000)  # type: ignore[arg-type]  # one of Kind
    with pytest.raises(ImageError, match=f"50000 x 40000 px, expected at most {MAX_PIXELS // 1_000_000} megapixels"):
        decode_photo(content, "photo")


@pytest.mark.bound("PHOTO_RATIO")
def test_pictures_like_threads_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode(".png", np.zeros((4, 500, 3), np.uint8))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="500 x 4 px, expected at most 100 times as long as wide"):
        decode_photo(content, "photo")


@pytest.mark.bound("JPEG_SCANS")
def test_a_jpeg_made_to_take_long_is_refused() -> None:
    progressive = jpeg(quarters(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    last, end = progressive.rfind(b"\xff\xda"), progressive.rfind(b"\xff\xd9")
    with pytest.raises(ImageError, match=r"a JPEG of 7\d scans, expected at most 64"):
        decode_photo(progressive[:end] + progressive[last:end] * 65 + progressive[end:], "photo")


def test_a_video_behind_the_picture_has_no_scans() -> None:
    """A phone's motion photo: of the random bytes of 6 MB, a hundred pairs look like the start of a scan."""
    photo = jpeg(quarters())
    video = b"\0\0\0\x18ftypmp42" + np.random.default_rng(1).bytes(6_000_000)
    assert video.count(b"\xff\xda") > 64
    assert decode_photo(photo + video, "photo").original_hw == (60, 80)


def test_the_size_seen_is_the_size_decoded() -> None:
    """A second size, and one behind stray bytes: what the decoder gets is what was looked at, so none can be larger."""
    content = jpeg(quarters())
    at = content.index(b"\xff\xc0")
    frame = content[at : content.index(b"\xff", at + 2)]
    assert stored_size(content[:at] + frame + content[at:], "jpeg") is None
    stray = content[:at] + b"stray" + content[at:]
    assert stored_size(stray, "jpeg") == (60, 80)
    assert decode_photo(stray, "photo").flaw == ""
    assert decode_photo(jpeg_with_exif(stray, exif_tiff(6)), "photo").original_hw == (80, 60)


def test_an_animated_png_and_a_palette_are_sound() -> None:
    palette = b"".join(bytes([v, 255 - v, v // 2]) for v in range(256))
    rows = b"".join(b"\0" + bytes(range(64)) for _ in range(32))
    header = struct.pack(">IIBBBBB", 64, 32, 8, 3, 0, 0, 0)
    parts = [(b"IHDR", header), (b"acTL", struct.pack(">II", 1, 0)), (b"PLTE", palette), (b"IDAT", zlib.compress(rows))]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in [*parts, (b"IEND", b"")])
    photo = decode_photo(content, "photo")
    assert photo.flaw == ""
    assert tuple(photo.image[5, 9]) == (9, 246, 4)
