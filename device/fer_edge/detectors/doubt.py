"""Whether a find is a face: a sure score, or for a doubtful one the opinion of MTCNN's two refining networks.

A cat's face, a color wheel or a cell gets scores of 0.5 to 0.75 from BlazeFace, as real faces do that are turned away,
small or dark: no threshold parts them. R-Net and O-Net, taught on other pictures, do (``benchmarks/face_scores.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from fer_edge.contract.manifest import Manifest
from fer_edge.detectors.mtcnn import O_PX, R_PX, Refiner, refiners
from fer_edge.detectors.network import DEFAULT, Engine
from fer_edge.detectors.pyramid import probabilities
from fer_edge.types import FaceBox, FaceDetector, RgbImage

SURE = 0.8  # finds of this score and above are not asked about: the highest that is no face was 0.73
AGREE = 0.6  # least probability, from each of the two
_GROWTHS = (1.0, 1.25)  # sides of the square that is looked at, in sides of the box; the better one counts
_FINER = 2  # the square is turned upright at so many times the network's side, then reduced


class SecondOpinion:
    """R-Net and O-Net on one square of a picture.

    Args:
        models: contents of R-Net's and O-Net's files.
        engine: what computes them; ``models`` are in its format.
    """

    def __init__(self, models: tuple[bytes, bytes], engine: Engine = DEFAULT) -> None:
        rnet, onet = refiners(models, engine)
        self._networks: tuple[tuple[Refiner, int], ...] = ((rnet, R_PX), (onet, O_PX))

    def __call__(self, image: RgbImage, face: FaceBox) -> float:
        """The smaller of the two networks' probabilities that this is a face, 0..1.

        Args:
            image: (h, w, 3) RGB uint8.
            face: in px of the picture; it is looked at with its eyes level.
        """
        lowest = 1.0
        for network, side in self._networks:
            best = max(float(self._ask(network, upright(image, face, growth, side))) for growth in _GROWTHS)
            lowest = min(lowest, best)
        return lowest

    def _ask(self, network: Refiner, square: RgbImage) -> float:
        side = len(square)
        output = network.over(square, np.array([[1, 1, side, side]], dtype=np.float64), side)
        return float(probabilities(output[:, :2])[0])


class DoubtingDetector(FaceDetector):
    """A detector whose doubtful finds are looked at once more; what is left out is counted.

    Args:
        detector: finds faces; its scores are 0..1.
        open_opinion: makes the second opinion when the first doubtful face is found; None keeps doubtful ones.
    """

    detector: FaceDetector

    def __init__(self, detector: FaceDetector, open_opinion: Callable[[], SecondOpinion] | None) -> None:
        self.detector, self._open_opinion = detector, open_opinion
        self._opinion: SecondOpinion | None = None
        self._left_out = 0
        self._refused: tuple[FaceBox, ...] = ()

    @property
    def left_out(self) -> int:
        """Finds that the second opinion did not take for faces, since the start."""
        return self._left_out

    @property
    def refused(self) -> tuple[FaceBox, ...]:
        """Those of the newest picture: of real faces that are turned away, small or dark there are some among them."""
        return self._refused

    def detect(self, image: RgbImage, near: Sequence[FaceBox] = ()) -> list[FaceBox]:
        """Faces in (h, w, 3) RGB uint8, in px of that picture, best score first; ``near`` as in ``FaceDetector``."""
        found = self.detector.detect(image, near)
        kept: list[FaceBox] = []
        refused: list[FaceBox] = []
        for face in found:
            (kept if face.score >= SURE or self._agrees(image, face) else refused).append(face)
        self._left_out, self._refused = self._left_out + len(refused), tuple(refused)
        return kept

    def _agrees(self, image: RgbImage, face: FaceBox) -> bool:
        if self._opinion is None:
            if self._open_opinion is None:
                return True
            self._opinion = self._open_opinion()
        return self._opinion(image, face) >= AGREE


def opinion_of(
    manifest: Manifest, read: Callable[[str], bytes], threads: int = 1, engine: Engine | None = None
) -> Callable[[], SecondOpinion] | None:
    """What makes the second opinion out of a bundle's MTCNN; None where the bundle has none.

    Args:
        manifest: of the bundle.
        read: gives the content of a file by its role.
        threads: of the kernels.
        engine: what the detector is computed by, taken here too where MTCNN is there in its format; None: tflite.
    """
    engine = engine or Engine(threads)
    found = next((spec for spec in (manifest.detector, *manifest.other_detectors) if spec.id == "mtcnn"), None)
    if found is None:
        return None
    spec = (found.named("mtcnn.onnx") if engine.format == "onnx" else None) or found
    own = engine._replace(format=spec.format)
    return lambda: SecondOpinion((read(spec.files[1]), read(spec.files[2])), own)


def upright(image: RgbImage, face: FaceBox, growth: float, side_px: int) -> RgbImage:
    """The face's square with its eyes level, (side_px, side_px, 3) RGB; black beyond the picture.

    Args:
        image: (h, w, 3) RGB uint8.
        face: in px of the picture.
        growth: side of the square, in sides of the face's box.
        side_px: of the result.
    """
    x, y, width, height = face.box
    (right_x, right_y), (left_x, left_y) = face.landmarks["right_eye"], face.landmarks["left_eye"]
    degrees = float(np.degrees(np.arctan2(left_y - right_y, left_x - right_x)))
    center, fine = (x + width / 2, y + height / 2), side_px * _FINER
    turn = cv2.getRotationMatrix2D(center, degrees, fine / (max(width, height) * growth))
    turn[:, 2] += np.array([fine / 2 - center[0], fine / 2 - center[1]])
    square = cv2.warpAffine(image, turn, (fine, fine), flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(square, (side_px, side_px), interpolation=cv2.INTER_AREA), dtype=np.uint8)
