"""Where a detector looks: at the whole picture, in overlapping tiles for small faces, then once more at every find.

In long pictures (strips, panoramas, screenshots) it looks besides at squares of the whole short side: a face that fills
the strip is tiny in the whole picture, and larger than any tile.

The second look (the face centered, in the size that the network sees best) halves the jitter of the landmarks and
refutes most finds that are no face. In a video where each face is known from the frame before, it is the only look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fer_edge.detectors.blazeface import NOTHING, BlazeFace, to_face_boxes
from fer_edge.detectors.letterbox import Halves, Region, square_around, whole_region
from fer_edge.detectors.nms import Candidates, Floats, concatenate, overlap, weighted_nms
from fer_edge.types import FaceBox, FaceDetector, RgbImage

BORDER = 0.5  # of the look for a face that fills the picture
OVERLAP = 1.5  # side of a tile, as a multiple of the grid's step
MIN_TILE_PX = 64  # in smaller tiles faces are too small for an expression to be read
TILE_SCORE = 0.7  # many looks find more that is no face, so tiles ask for more than the whole picture does
SAME_FACE = 0.3  # least IoU between the first and the second look's box
CONTAINED = 0.6  # a box of which this much lies in a better one is a part of that face
LONG = 2.0  # longer side to shorter, from which squares of the short side are looked at
STRIP_STEP = 0.25  # between these squares, as a share of their side: a face of three quarters of it is whole in one
EDGE = 0.03  # a box nearer to a tile's inner edge than this share of its side is cut off there


class SearchingDetector(FaceDetector):
    """A single-shot detector looked through one or several windows.

    Args:
        detector: looks at one square region at a time.
        tiles: grid sizes searched besides the whole picture: 2 means 2 x 2 overlapping tiles.
    """

    def __init__(self, detector: BlazeFace, tiles: tuple[int, ...] = ()) -> None:
        self.detector = detector
        self.tiles = tiles

    def detect(self, image: RgbImage, near: Sequence[FaceBox] = ()) -> list[FaceBox]:
        """Faces in (h, w, 3) RGB uint8, in px of that picture, best score first.

        Args:
            image: what is searched.
            near: where all faces are expected: only there is looked, unless one of them is not there.
        """
        picture = Halves(image)
        height, width = image.shape[:2]
        found = self._expected(picture, near)
        if found is None:
            found = self._second_look(picture, self._first_look(picture))
        return [face for face in to_face_boxes(found) if _center_inside(face, height, width)]

    def _first_look(self, picture: Halves) -> Candidates:
        """At the whole picture, its tiles and strips; where nothing is, once more with room around the picture."""
        image, detector = picture.image, self.detector
        height, width = image.shape[:2]
        parts, least = [detector.look(picture, whole_region(image))], max(TILE_SCORE, detector.score)
        small = Halves(image, most=0)  # small faces bear no halving
        for grid in self.tiles:
            for tile in tile_regions(height, width, grid):
                parts.append(whole_faces(detector.look(small, tile, least), tile, (height, width)))
        for square in strip_regions(height, width) if self.tiles else ():
            parts.append(whole_faces(detector.look(small, square, least), square, (height, width)))
        if not any(len(part) for part in parts):
            parts = [detector.look(picture, whole_region(image, BORDER))]
        return weighted_nms(concatenate(parts), detector.nms_iou, CONTAINED)

    def _second_look(self, picture: Halves, found: Candidates) -> Candidates:
        """Every candidate as the second look sees it; without those that it does not see, each once."""
        boxes = found.boxes
        seen = [face for box in boxes if (face := self._look_at(picture, box)) is not None]
        return weighted_nms(concatenate(seen), self.detector.nms_iou, CONTAINED) if seen else NOTHING

    def _expected(self, picture: Halves, near: Sequence[FaceBox]) -> Candidates | None:
        """The faces that are where they are expected; None where not all are, or none is expected."""
        seen = []
        for face in near:
            x, y, width, height = face.box
            found = self._look_at(picture, np.array([x, y, x + width, y + height], dtype=np.float32))
            if found is None:
                return None
            seen.append(found)
        if not seen:
            return None
        each = weighted_nms(concatenate(seen), self.detector.nms_iou, CONTAINED)
        return each if len(each) == len(near) else None

    def _look_at(self, picture: Halves, box: Floats) -> Candidates | None:
        """The face in a box (4,) of corners, seen at the size that the network sees best; None where there is none."""
        detector = self.detector
        second = detector.look(picture, square_around(tuple(box.tolist()), detector.spec.second_look))
        if not len(second):
            return None
        merged = weighted_nms(second, detector.nms_iou)
        same, _ = overlap(box, merged.boxes)
        best = int(same.argmax())
        return merged.take(np.array([best])) if same[best] >= SAME_FACE else None


def tile_regions(height: int, width: int, grid: int) -> list[Region]:
    """``grid`` tiles along the shorter side, as many as are needed along the longer, overlapping by a third."""
    step = min(height, width) / (grid - 1 + OVERLAP)
    side = step * OVERLAP
    if side < MIN_TILE_PX:
        return []

    def starts(length: int) -> list[float]:
        n = max(1, int(-(-(length - side) // step)) + 1)
        return [i * (length - side) / max(1, n - 1) for i in range(n)]

    return [Region(x, y, side) for y in starts(height) for x in starts(width)]


def strip_regions(height: int, width: int) -> list[Region]:
    """Squares of the short side along the longer one, of a picture that is ``LONG``; none of any other."""
    side, length = min(height, width), max(height, width)
    if length < LONG * side:
        return []
    n = math.ceil((length - side) / (STRIP_STEP * side)) + 1
    starts = [i * (length - side) / (n - 1) for i in range(n)]
    return [Region(at, 0, side) if width > height else Region(0, at, side) for at in starts]


def whole_faces(found: Candidates, tile: Region, image_hw: tuple[int, int]) -> Candidates:
    """Candidates that no inner edge of the tile cuts off; the picture's own edges may."""
    height, width = image_hw
    margin = EDGE * tile.side
    boxes = found.boxes
    left = (boxes[:, 0] > tile.x + margin) | (tile.x <= 0)
    top = (boxes[:, 1] > tile.y + margin) | (tile.y <= 0)
    right = (boxes[:, 2] < tile.x + tile.side - margin) | (tile.x + tile.side >= width - 1)
    bottom = (boxes[:, 3] < tile.y + tile.side - margin) | (tile.y + tile.side >= height - 1)
    return found.take(left & top & right & bottom)


def _center_inside(face: FaceBox, height: int, width: int) -> bool:
    x, y, w, h = face.box
    return 0 <= x + w / 2 <= width and 0 <= y + h / 2 <= height
