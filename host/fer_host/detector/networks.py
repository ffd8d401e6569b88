"""The bundle's face detectors: their networks from installable packages, checked against the recipe, as tflite."""

from __future__ import annotations

from pathlib import Path

from fer_edge.contract.specs import DetectorSpec
from fer_host.detector.convert import convert_network
from fer_host.device_pipeline import PHOTO_TILES, DoubtingDetector, FaceDetector, SecondOpinion, make_detector
from fer_host.errors import WeightsError
from fer_host.files.artifacts import sha256_bytes
from fer_host.files.paths import BUILD
from fer_host.files.store import Store
from fer_host.models.weights import package_file
from fer_host.recipe.recipe import DetectorNetwork, DetectorRecipe, Recipe, load_detector


def detector_contents(recipe: DetectorRecipe) -> dict[str, bytes]:
    """The detector's tflite files by their role in the bundle; ONNX networks are converted once and kept.

    Raises:
        WeightsError: the package is absent, or a file is not the one that the recipe names.
        GateError: a converted network does not answer as its original.
    """
    sources = {network.role: _source(recipe, network) for network in recipe.networks}
    if all(path.suffix == ".tflite" for path in sources.values()):
        return {role: path.read_bytes() for role, path in sources.items()}
    # Every recipe's build shares these stages, so a second build waits for the first.
    with Store(BUILD / "detectors" / recipe.id, wait=True) as store:
        return {
            network.role: convert_network(store, 10 * i, network, sources[network.role]).read_bytes()
            for i, network in enumerate(recipe.networks)
        }


def _source(recipe: DetectorRecipe, network: DetectorNetwork) -> Path:
    """The network's file in its package, if it is the one that the recipe names."""
    path = package_file(recipe.package, network.file)
    if sha256_bytes(path.read_bytes()) != network.sha256:
        raise WeightsError(
            f"detector {recipe.id}: {path} has another sha256 than the recipe; "
            f"expected {recipe.package}=={recipe.version}, reinstall it"
        )
    return path


def detector_spec(recipe: DetectorRecipe) -> DetectorSpec:
    """The manifest's entry."""
    return DetectorSpec(recipe.id, tuple(network.role for network in recipe.networks), dict(recipe.thresholds))


def load_photo_detector(recipe: Recipe) -> FaceDetector:
    """What finds faces in photos as ``fer-edge image`` does: in tiles too, doubtful finds looked at once more."""
    own = load_detector(recipe.detector)
    found = make_detector(detector_spec(own), detector_contents(own).__getitem__, PHOTO_TILES)
    if recipe.detector == "mtcnn" or "mtcnn" not in recipe.other_detectors:
        return found

    def opinion() -> SecondOpinion:
        other = load_detector("mtcnn")
        contents = detector_contents(other)
        rnet, onet = (contents[role] for role in detector_spec(other).files[1:])
        return SecondOpinion((rnet, onet))

    return DoubtingDetector(found, opinion)


def load_detector_model(name: str) -> FaceDetector:
    """A ready detector by its recipe's name, as the device would make it from a bundle."""
    recipe = load_detector(name)
    contents = detector_contents(recipe)
    return make_detector(detector_spec(recipe), contents.__getitem__)
