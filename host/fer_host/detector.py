"""The bundle's face detector: its data file from an installable package, checked against the recipe's digest."""

from __future__ import annotations

from fer_edge.contract.manifest import DetectorSpec
from fer_host.artifacts import sha256_bytes
from fer_host.device_pipeline import FaceDetector, make_detector
from fer_host.errors import WeightsError
from fer_host.recipe import DetectorRecipe, load_detector
from fer_host.weights import package_file


def detector_content(recipe: DetectorRecipe) -> bytes:
    """The detector's network file.

    Raises:
        WeightsError: the package is absent, or its file is not the one that the recipe names.
    """
    path = package_file(recipe.package, recipe.file)
    content = path.read_bytes()
    if sha256_bytes(content) != recipe.sha256:
        raise WeightsError(
            f"detector {recipe.id}: {path} has another sha256 than the recipe; "
            f"expected {recipe.package}=={recipe.version}, reinstall it"
        )
    return content


def detector_spec(recipe: DetectorRecipe) -> DetectorSpec:
    """The manifest's entry; its one file has the role ``detector/<id>``."""
    return DetectorSpec(recipe.id, (f"detector/{recipe.id}",), dict(recipe.thresholds))


def load_detector_model(name: str) -> FaceDetector:
    """A ready detector by its recipe's name, as the device would make it from a bundle."""
    recipe = load_detector(name)
    content = detector_content(recipe)
    return make_detector(detector_spec(recipe), lambda role: content)
