"""Pixels of a picture file, upright: OpenCV for most formats, pillow-heif and Pillow for HEIC and AVIF."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from fer_edge.errors import ImageError
from fer_edge.pictures import bmp, jpeg, png, tiff, webp
from fer_edge.pictures.formats import Kind
from fer_edge.pictures.headers import orientation
from fer_edge.pictures.orientation import Pixels, apply_orientation
from fer_edge.pictures.quiet import hushed


@dataclass(frozen=True)
class Decoded:
    """Pixels of a file.

    Attributes:
        bgr: (h, w, 3) BGR uint8, upright.
        flaw: what is wrong with the file, in a few words; empty for nothing that can be seen.
    """

    bgr: Pixels
    flaw: str = ""


def decode(content: bytes, kind: Kind, what: str, max_pixels: int) -> Decoded:
    """Decodes a picture; of a damaged one, what is there.

    Args:
        content: the file's; its stored size was checked, but for HEIC and AVIF, whose decoder tells it.
        kind: see ``picture_kind``.
        what: names it in messages.
        max_pixels: of HEIC and AVIF.

    Raises:
        ImageError: nothing can be decoded, or nothing to decode it with is installed.
    """
    if kind in ("heic", "avif"):
        return Decoded(_decode_with_pillow(content, kind, what, max_pixels))
    clean, flaw, has_data = _checked(content, kind)
    image, said = _decode_with_cv2(clean) if has_data else (None, "")
    if kind == "jpeg":
        flaw = flaw or jpeg.complaint(said, clean)
    elif kind == "png" and (image is None or flaw):
        saved = png.salvage(content)
        image, _ = (None, "") if saved is None else _decode_with_cv2(saved)
        flaw = flaw or "its picture data do not unpack"
    if image is None and not flaw:
        raise ImageError(
            f"{what}: a {kind.upper()} picture, damaged or of a rare kind; copy it again, or save it as JPEG"
        )
    if image is None or (flaw and (image == image[0, 0]).all()):
        raise ImageError(f"{what}: a damaged {kind.upper()} picture ({flaw}); nothing is left of it: copy it again")
    return Decoded(apply_orientation(image, orientation(content, kind)), flaw)


def _checked(content: bytes, kind: Kind) -> tuple[bytes, str, bool]:
    """What the decoder may have, what is wrong with it, and whether anything is there."""
    if kind == "jpeg":
        j = jpeg.check(content)
        return j.clean, j.flaw, j.has_data
    if kind == "png":
        p = png.check(content)
        return p.clean, p.flaw, not p.flaw
    if kind == "webp":
        w = webp.check(content)
        return w.clean, w.flaw, w.has_data
    if kind == "bmp" and (missing := bmp.missing_bytes(content)):
        return content + bytes(missing), "it ends within its rows", True
    return (tiff.upright(content) if kind == "tiff" else content), "", True


def _decode_with_cv2(content: bytes) -> tuple[Pixels | None, str]:
    """Pixels as stored (None where OpenCV gives none), and what the libraries below it said."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    with hushed() as said:
        try:
            image = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), flags)
        except cv2.error:
            image = None
    return image, said.text


def _decode_with_pillow(content: bytes, kind: Kind, what: str, max_pixels: int) -> Pixels:
    name = kind.upper()
    try:
        from PIL import Image, ImageOps, features

        if kind == "heic":
            import pillow_heif

            pillow_heif.register_heif_opener()
        elif not features.check("avif"):
            raise ModuleNotFoundError("Pillow without AVIF")
    except ModuleNotFoundError:
        raise ImageError(
            f"{what}: a {name} picture, and nothing here reads it; pip install 'fer-edge[heif]', or save it as JPEG"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's of large pictures; the limit is ours
        try:
            with hushed(), Image.open(io.BytesIO(content), formats=("HEIF" if kind == "heic" else "AVIF",)) as picture:
                if picture.width * picture.height > max_pixels:
                    raise ImageError(too_many_pixels(what, (picture.height, picture.width), max_pixels))
                upright: Any = ImageOps.exif_transpose(picture.convert("RGB"))
                return np.ascontiguousarray(np.asarray(upright, dtype=np.uint8)[:, :, ::-1])
        except ImageError:
            raise
        except (OSError, ValueError, RuntimeError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError):
            raise ImageError(f"{what}: a damaged {name} picture (it cannot be decoded); copy it again") from None


def too_many_pixels(what: str, hw: tuple[int, int], most: int) -> str:
    """The line for a picture that is too large to be decoded."""
    return f"{what}: {hw[1]} x {hw[0]} px, expected at most {most // 1_000_000} megapixels"
