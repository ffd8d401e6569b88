"""What is taken as a photo, decided before anything is decoded: by type, size in px, and work to decode."""

from __future__ import annotations

from fer_edge.contract.bounds import JPEG_SCANS as MAX_SCANS
from fer_edge.contract.bounds import MAX_SIDE_PX, MIN_SIDE_PX
from fer_edge.errors import ImageError
from fer_edge.pictures.formats import Kind, other_kind, picture_kind
from fer_edge.pictures.headers import stored_size
from fer_edge.pictures.jpeg import count_scans

TAKEN: tuple[Kind, ...] = ("jpeg", "png", "webp", "bmp")  # fewer than from files: each decoder is a door


class TooLarge(ImageError):  # noqa: N818  # named for what it is
    """A photo of more bytes or px than are taken."""


class WrongType(ImageError):  # noqa: N818
    """Content that is none of the picture types taken."""


def check_photo(content: bytes, max_bytes: int, max_pixels: int) -> Kind:
    """Checks a photo file's content; gives its type (jpeg, png, webp, bmp). The declared type is not believed.

    Raises:
        TooLarge: too many bytes or px, or too long a side.
        WrongType: not a picture of these types.
        ImageError: a header that makes no sense, or a JPEG made to take long.
    """
    if len(content) > max_bytes:
        raise TooLarge(f"photo: {len(content)} bytes, expected at most {max_bytes}")
    kind = picture_kind(content)
    if kind not in TAKEN:
        found = f"a {kind.upper()} picture" if kind else other_kind(content)
        is_not = "not a JPEG, PNG, WebP or BMP picture; expected one of these"
        raise WrongType(f"photo: {found}, {is_not}" if found else f"photo: {is_not}")
    size = stored_size(content, kind)
    if size is None:
        raise ImageError(f"photo: a {kind} file whose header cannot be read; it is damaged")
    height, width = size
    if min(height, width) < MIN_SIDE_PX:
        raise ImageError(f"photo: {width} x {height} px, expected at least {MIN_SIDE_PX} px a side")
    if height * width > max_pixels or max(height, width) > MAX_SIDE_PX:
        limit = f"{max_pixels // 1_000_000} megapixels and {MAX_SIDE_PX} px a side"
        raise TooLarge(f"photo: {width} x {height} px, expected at most {limit}")
    scans = count_scans(content) if kind == "jpeg" else 0
    if scans > MAX_SCANS:
        raise ImageError(f"photo: a JPEG of {scans} scans, expected at most {MAX_SCANS}")
    return kind
