"""Long pictures: strips of faces, panoramas, screenshots, lying and standing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fer_edge.detectors.blazeface import BlazeFace
from fer_edge.detectors.search import LONG, STRIP_STEP, SearchingDetector, strip_regions
from fer_edge.pictures.photo import prepare
from fer_edge.types import RgbImage

SIDE = 240


def strip(astronaut: RgbImage, ratio: float, starts: tuple[float, ...], is_standing: bool) -> RgbImage:
    """A strip of the short side ``SIDE`` with the astronaut's head over most of it, at these places (0 to 1)."""
    head = cv2.resize(astronaut[30:230, 120:320], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    length = int(SIDE * ratio)
    colors = np.random.default_rng(2).integers(60, 200, (3, 12, 3), dtype=np.uint8)
    image = np.asarray(cv2.resize(colors, (length, SIDE)), dtype=np.uint8)
    if is_standing:
        image = np.ascontiguousarray(image.swapaxes(0, 1))
    for start in starts:
        at = int(start * (length - SIDE))
        (image[at : at + SIDE] if is_standing else image[:, at : at + SIDE])[:] = head
    return image


@pytest.mark.parametrize("is_standing", [False, True])
@pytest.mark.parametrize("ratio", [3, 6, 12])
def test_faces_that_fill_a_strip_are_found(
    ratio: float, is_standing: bool, blazeface: BlazeFace, astronaut: RgbImage
) -> None:
    starts = (0.0, 0.47, 1.0)
    photo = prepare(strip(astronaut, ratio, starts, is_standing))
    found = SearchingDetector(blazeface, (2, 3)).detect(photo.image)
    centers = sorted(face.box[is_standing] + face.box[2 + is_standing] / 2 for face in found)
    expected = [start * (ratio - 1) * SIDE + SIDE / 2 for start in starts]
    np.testing.assert_allclose(centers, expected, atol=SIDE / 6)


@pytest.mark.parametrize("hw", [(100, 199), (480, 640), (640, 480), (100, 100)])
def test_pictures_of_common_shapes_are_looked_at_as_before(hw: tuple[int, int]) -> None:
    assert strip_regions(*hw) == []


@pytest.mark.parametrize("hw", [(100, 200), (100, 1234), (77, 7700)])
def test_squares_cover_all_and_a_face_of_three_quarters_is_whole_in_one(hw: tuple[int, int]) -> None:
    side, length = min(hw), max(hw)
    lying, standing = strip_regions(*hw), strip_regions(*hw[::-1])
    assert [(region.y, region.x, region.side) for region in lying] == [tuple(region) for region in standing]
    starts = [region.x for region in lying]
    assert starts[0] == 0
    assert starts[-1] == pytest.approx(length - side)
    assert max(np.diff(starts)) <= STRIP_STEP * side + 1e-6
    assert len(starts) <= (length / side) / STRIP_STEP
    assert LONG > 16 / 9  # video and phones are not long
