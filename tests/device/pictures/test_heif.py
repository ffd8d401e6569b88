"""HEIC and AVIF, as phones write them, through the optional extra ``heif``."""

from __future__ import annotations

import io

import numpy as np
import pytest
from picture_files import INVERSE, UPRIGHT, quarters

from fer_edge.errors import ImageError
from fer_edge.pictures import decode as decode_module
from fer_edge.pictures.formats import picture_kind
from fer_edge.pictures.photo import decode_photo
from fer_edge.types import RgbImage

Image = pytest.importorskip("PIL.Image", reason="fer-edge[heif] is not installed")
pillow_heif = pytest.importorskip("pillow_heif", reason="fer-edge[heif] is not installed")
pillow_heif.register_heif_opener()


def written(rgb: RgbImage, kind: str, code: int = 1) -> bytes:
    """Stored as ``code`` says and marked so; both writers turn the EXIF orientation into the format's own boxes."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = code
    Image.fromarray(rgb).save(file, {"heic": "HEIF", "avif": "AVIF"}[kind], exif=exif.tobytes(), quality=95)
    return file.getvalue()


@pytest.mark.parametrize("code", range(1, 9))
@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_every_orientation_comes_out_upright_and_none_twice(
    kind: str, code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    rgb = np.ascontiguousarray(quarters(64, 96)[:, :, ::-1])
    content = written(np.ascontiguousarray(UPRIGHT[INVERSE[code]](rgb)), kind, code)
    assert picture_kind(content) == kind
    assert code == 1 or b"irot" in content or b"imir" in content
    photo = decode_photo(content, "photo")
    assert photo.original_hw == (64, 96)
    assert np.abs(photo.image.astype(int) - rgb).mean() < 4
    assert photo.flaw == ""
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_cut_ones_are_refused_in_one_line(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    content = written(np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8), kind)
    for share in (0.02, 0.3, 0.6, 0.95):
        with pytest.raises(ImageError, match="damaged") as error:
            decode_photo(content[: max(40, int(len(content) * share))], "photo", take_damaged=True)
        assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_too_many_pixels_are_refused_before_decoding(kind: str) -> None:
    content = written(np.zeros((64, 64, 3), np.uint8), kind)
    with pytest.raises(ImageError, match="64 x 64 px, expected at most 0 megapixels"):
        decode_module.decode(content, kind, "photo", 64 * 64 - 1)  # type: ignore[arg-type]  # one of Kind


def test_a_large_photo_is_scaled_as_any_other() -> None:
    photo = decode_photo(written(np.ascontiguousarray(quarters(900, 1200)[:, :, ::-1]), "heic"), "photo")
    assert photo.image.shape == (600, 800, 3)
    assert photo.original_hw == (900, 1200)
