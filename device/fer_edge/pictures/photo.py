"""Reads photos, and prepares them for the networks: upright, RGB, limited in size before anything is decoded.

``prepare`` is the one way in which a photo is made ready, whether it comes from a file, a page or a program's array.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fer_edge.contract.bounds import JPEG_SCANS
from fer_edge.contract.bounds import PHOTO_BYTES as MAX_BYTES
from fer_edge.contract.bounds import PHOTO_PIXELS as MAX_PIXELS
from fer_edge.contract.bounds import PHOTO_RATIO as MAX_RATIO
from fer_edge.contract.bounds import PREPARED_PIXELS as MAX_PREPARED_PIXELS
from fer_edge.contract.bounds import PREPARED_SIDE_PX as MAX_PREPARED_SIDE_PX
from fer_edge.contract.names import printable
from fer_edge.errors import ImageError
from fer_edge.pictures import jpeg
from fer_edge.pictures.decode import decode, too_many_pixels
from fer_edge.pictures.formats import EXPECTED, other_kind, picture_kind
from fer_edge.pictures.headers import stored_size
from fer_edge.types import Frame, RgbImage

SHORT_SIDE_PX = 600  # of the thesis' app: larger photos are scaled down to it, smaller ones are left alone


@dataclass(frozen=True)
class Photo:
    """An upright photo.

    Attributes:
        image: (h, w, 3) RGB uint8, scaled down where it was large.
        scale: px of ``image`` per px of the upright original, at most 1.
        original_hw: (height, width) of the upright original in px.
        flaw: what is wrong with the file it came from, in a few words; empty for nothing that can be seen.
        original: the upright original, (h, w, 3) RGB uint8, where it was asked for.
    """

    image: RgbImage
    scale: float
    original_hw: tuple[int, int]
    flaw: str = ""
    original: RgbImage | None = None

    def frame(self, index: int, source: str) -> Frame:
        """As the pipeline takes it; readings are in px of the original."""
        damaged = True if self.flaw else None
        return Frame(self.image, index, time.monotonic(), source, self.scale, self.original_hw, damaged=damaged)


def read_photo(
    path: Path, short_side_px: int = SHORT_SIDE_PX, *, keep_original: bool = False, take_damaged: bool = False
) -> Photo:
    """Reads a photo file.

    Args:
        path: a picture, whatever its name says.
        short_side_px: larger photos are scaled down to it.
        keep_original: also in full size.
        take_damaged: what is left of a damaged file, with ``flaw``, instead of an error.

    Raises:
        ImageError: absent, not a picture, nothing of it left, or too large.
    """
    what = f"photo {printable(path)}"
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ImageError(f"{what}: not a file; {EXPECTED}")
        if size > MAX_BYTES:
            raise ImageError(f"{what}: {size} bytes, expected at most {MAX_BYTES}")
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ImageError(f"{what}: {reason}; expected a readable picture") from error
    return decode_photo(content, what, short_side_px, keep_original=keep_original, take_damaged=take_damaged)


def decode_photo(
    content: bytes,
    what: str,
    short_side_px: int = SHORT_SIDE_PX,
    *,
    keep_original: bool = False,
    take_damaged: bool = False,
) -> Photo:
    """Decodes a picture held in memory; ``what`` names it in messages, the rest as in ``read_photo``.

    Raises:
        ImageError: not a picture, nothing of it left, or too large.
    """
    kind = picture_kind(content)
    if kind is None:
        found = other_kind(content)
        raise ImageError(f"{what}: {f'{found} cannot' if found else 'cannot'} be read as a picture; {EXPECTED}")
    if kind not in ("heic", "avif"):
        stored = stored_size(content, kind)
        if stored is None or not min(stored):
            raise ImageError(f"{what}: a damaged {kind.upper()} picture (its header cannot be read); copy it again")
        if stored[0] * stored[1] > MAX_PIXELS:
            raise ImageError(too_many_pixels(what, stored, MAX_PIXELS))
        _check_ratio(what, stored)
    if kind == "jpeg" and (scans := jpeg.count_scans(content)) > JPEG_SCANS:
        raise ImageError(f"{what}: a JPEG of {scans} scans, expected at most {JPEG_SCANS}")
    decoded = decode(content, kind, what, MAX_PIXELS)
    if decoded.flaw and not take_damaged:
        raise ImageError(f"{what}: a damaged {kind.upper()} picture ({decoded.flaw}); copy it again")
    _check_ratio(what, (decoded.bgr.shape[0], decoded.bgr.shape[1]))
    return _fitted(decoded.bgr[:, :, ::-1], short_side_px, decoded.flaw, keep_original)


def prepare(image: RgbImage, short_side_px: int = SHORT_SIDE_PX) -> Photo:
    """A photo from a program's own upright pixels, exactly as from a file that holds them.

    Args:
        image: (h, w, 3) RGB uint8, upright.
        short_side_px: larger photos are scaled down to it.

    Raises:
        ImageError: more than 100 times as long as wide.
    """
    _check_ratio("picture", (image.shape[0], image.shape[1]))
    return _fitted(image, short_side_px, "", keep_original=False)


def _fitted(rgb: RgbImage, short_side_px: int, flaw: str, keep_original: bool) -> Photo:
    height, width = rgb.shape[:2]
    longest = min(math.sqrt(MAX_PREPARED_PIXELS / (height * width)), MAX_PREPARED_SIDE_PX / max(height, width))
    scale = min(1.0, short_side_px / min(height, width), longest)
    image = rgb
    if scale < 1:
        small = max(1, round(width * scale)), max(1, round(height * scale))
        bgr = np.ascontiguousarray(rgb[:, :, ::-1])
        image = np.asarray(cv2.resize(bgr, small, interpolation=cv2.INTER_AREA)[:, :, ::-1], dtype=np.uint8)
    original = np.ascontiguousarray(rgb) if keep_original else None
    return Photo(np.ascontiguousarray(image), scale, (height, width), flaw, original)


def _check_ratio(what: str, hw: tuple[int, int]) -> None:
    if max(hw) > MAX_RATIO * min(hw):
        raise ImageError(f"{what}: {hw[1]} x {hw[0]} px, expected at most {MAX_RATIO} times as long as wide")
