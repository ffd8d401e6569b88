"""Where a detector looks: the whole picture, with a border if that finds nothing, in overlapping tiles for small faces."""

from __future__ import annotations

import numpy as np

from fer_edge.detectors.blazeface import BlazeFace, Region, square_around, to_face_boxes, whole_region
from fer_edge.detectors.nms import Candidates, concatenate, overlap, weighted_nms
from fer_edge.types import FaceBox, RgbImage

BORDER = 0.5  # of the second look, for a face that fills the picture
OVERLAP = 1.5  # side of a tile, as a multiple of the grid's step
MIN_TILE_PX = 96  # smaller tiles would only be blown up
CONTAINED = 0.6  # a box of which this much lies in a better one is a part of that face
TILE_SCORE = 0.6  # many looks find more that is no face, so tiles ask for more than the whole picture does,
CONFIRM_FACTOR = 3.0  # and for a second look, centered on the find, that sees the same face
CONFIRM_IOU = 0.4
EDGE = 0.03  # a box nearer to a tile's inner edge than this share of its side is cut off there


class SearchingDetector:
    """A single-shot detector looked through one or several windows.

    Args:
        detector: looks at one square region at a time.
        tiles: grid sizes searched besides the whole picture: 2 means 2 x 2 overlapping tiles.
    """

    def __init__(self, detector: BlazeFace, tiles: tuple[int, ...] = ()) -> None:
        self.detector = detector
        self.tiles = tiles

    def detect(self, image: RgbImage) -> list[FaceBox]:
        """Faces in (h, w, 3) RGB uint8, in px of that picture, best score first."""
        parts = [self.detector.look(image, whole_region(image))]
        for grid in self.tiles:
            for region in tile_regions(*image.shape[:2], grid):
                found = self.detector.look(image, region)
                found = whole_faces(found, region, image.shape[:2])
                parts.append(self._confirmed(image, found.take(found.scores >= TILE_SCORE)))
        if not any(len(part) for part in parts):
            parts = [self.detector.look(image, whole_region(image, BORDER))]
        found = weighted_nms(concatenate(parts), self.detector.nms_iou, CONTAINED)
        height, width = image.shape[:2]
        faces = to_face_boxes(found)
        return [face for face in faces if _center_inside(face, height, width)]

    def _confirmed(self, image: RgbImage, found: Candidates) -> Candidates:
        """Those that a second, centered look sees too."""
        merged = weighted_nms(found, self.detector.nms_iou)
        kept = []
        for i in range(len(merged)):
            second = self.detector.look(image, square_around(merged.points[i], CONFIRM_FACTOR))
            same, _ = overlap(merged.boxes[i], second.boxes)
            kept.append(bool((same > CONFIRM_IOU).any()))
        return merged.take(np.array(kept, dtype=bool))


def tile_regions(height: int, width: int, grid: int) -> list[Region]:
    """``grid`` tiles along the shorter side, as many as are needed along the longer, overlapping by a third."""
    step = min(height, width) / (grid - 1 + OVERLAP)
    side = step * OVERLAP
    if side < MIN_TILE_PX:
        return []

    def starts(length: int) -> list[float]:
        n = max(1, -(-(length - side) // step) + 1)
        return [i * (length - side) / max(1, n - 1) for i in range(int(n))]

    return [Region(x, y, side) for y in starts(height) for x in starts(width)]


def whole_faces(found: Candidates, region: Region, image_hw: tuple[int, int]) -> Candidates:
    """Candidates that no inner edge of the tile cuts off; the picture's own edges may."""
    height, width = image_hw
    margin = EDGE * region.side
    boxes = found.boxes
    left = (boxes[:, 0] > region.x + margin) | (region.x <= 0)
    top = (boxes[:, 1] > region.y + margin) | (region.y <= 0)
    right = (boxes[:, 2] < region.x + region.side - margin) | (region.x + region.side >= width - 1)
    bottom = (boxes[:, 3] < region.y + region.side - margin) | (region.y + region.side >= height - 1)
    return found.take(left & top & right & bottom)


def _center_inside(face: FaceBox, height: int, width: int) -> bool:
    x, y, w, h = face.box
    return 0 <= x + w / 2 <= width and 0 <= y + h / 2 <= height
