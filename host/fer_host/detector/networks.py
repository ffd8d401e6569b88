"""The bundle's face detectors: their networks from installable packages, checked against the recipe, as tflite."""

from __future__ import annotations

from pathlib import Path

from fer_edge.contract.specs import DetectorSpec
from fer_host.detector.convert import convert_network
from fer_host.detector.for_onnxruntime import onnx_network
from fer_host.detector.int8 import int8_network
from fer_host.device_pipeline import (
    PHOTO_TILES,
    DoubtingDetector,
    FaceDetector,
    SecondOpinion,
    iou,
    make_detector,
    read_photo,
)
from fer_host.errors import GateError, WeightsError
from fer_host.files.artifacts import sha256_bytes
from fer_host.files.paths import BUILD
from fer_host.files.store import Store
from fer_host.models.weights import package_file
from fer_host.recipe.recipe import DetectorNetwork, DetectorRecipe, Recipe, load_detector

# with one face each; what the gates on photos and clips found is in benchmarks/results/detector_int8.md
PHOTOS = (
    ("scikit-image", "skimage/data/astronaut.png"),
    ("matplotlib", "matplotlib/mpl-data/sample_data/grace_hopper.jpg"),
)
LEAST_IOU = 0.9
_REMEDIES = {
    "int8": "measure its ranges again (benchmarks/detector_int8.py --measure)",
    "onnx": "ship this bundle without ONNX variants, and report it",
}


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


def int8_contents(recipe: DetectorRecipe) -> dict[str, bytes]:
    """The int8 forms of the detector's networks by their role; none where the recipe has none.

    Raises:
        WeightsError: see ``detector_contents``.
        DataError: activation ranges are absent, or of another network.
        GateError: an int8 network answers otherwise on the packaged photos.
        ToolError: a converter failed.
    """
    if not _has_int8(recipe):
        return {}
    floats = detector_contents(recipe)
    with Store(BUILD / "detectors" / f"{recipe.id}.int8", wait=True) as store:
        made = {
            network.int8_role: int8_network(store, 10 * i, network, floats[network.role]).read_bytes()
            for i, network in enumerate(recipe.networks)
        }
    _check_faces(recipe, floats, made)
    return made


def onnx_contents(recipe: DetectorRecipe) -> dict[str, bytes]:
    """The same networks for onnxruntime by their role, made of the float tflite files.

    Raises:
        WeightsError: see ``detector_contents``.
        GateError: one does not answer as its tflite file, or finds other faces in the packaged photos.
        ToolError: it has an operator without a form in ONNX.
    """
    floats = detector_contents(recipe)
    with Store(BUILD / "detectors" / f"{recipe.id}.onnx", wait=True) as store:
        made = {
            network.onnx_role: onnx_network(store, i + 1, network, floats[network.role]).read_bytes()
            for i, network in enumerate(recipe.networks)
        }
    _check_faces(recipe, floats, made, "onnx")
    return made


def _check_faces(recipe: DetectorRecipe, floats: dict[str, bytes], made: dict[str, bytes], form: str = "int8") -> None:
    """Refuses a form of a detector that finds other faces in the packaged photos than the float one."""
    spec, contents = detector_spec(recipe, with_onnx=form == "onnx"), {**floats, **made}
    other = spec.named(f"{spec.id}.{form}")
    assert other is not None, "the form that was made"
    for package, file in PHOTOS:
        image = read_photo(package_file(package, file)).image
        found = [make_detector(each, contents.__getitem__, provider="cpu").detect(image) for each in (spec, other)]
        overlaps = [iou(a.box, b.box) for a, b in zip(*found, strict=False)]
        if len(found[0]) != len(found[1]) or min(overlaps, default=1.0) < LEAST_IOU:
            raise GateError(
                f"detector {recipe.id}: in {form} it finds {len(found[1])} faces in {Path(file).name}, in float "
                f"{len(found[0])}, least overlap {min(overlaps, default=0.0):.2f}, expected the same and at least "
                f"{LEAST_IOU:g}; {_REMEDIES[form]}"
            )


def _has_int8(recipe: DetectorRecipe) -> bool:
    return all(network.float_from is not None for network in recipe.networks)


def _source(recipe: DetectorRecipe, network: DetectorNetwork) -> Path:
    """The network's file in its package, if it is the one that the recipe names."""
    path = package_file(recipe.package, network.file)
    if sha256_bytes(path.read_bytes()) != network.sha256:
        raise WeightsError(
            f"detector {recipe.id}: {path} has another sha256 than the recipe; "
            f"expected {recipe.package}=={recipe.version}, reinstall it"
        )
    return path


def detector_spec(recipe: DetectorRecipe, with_onnx: bool = False) -> DetectorSpec:
    """The manifest's entry, with the networks for onnxruntime where the bundle has them."""
    roles = tuple(network.role for network in recipe.networks)
    int8 = tuple(network.int8_role for network in recipe.networks) if _has_int8(recipe) else None
    onnx = tuple(network.onnx_role for network in recipe.networks) if with_onnx else None
    return DetectorSpec(recipe.id, roles, dict(recipe.thresholds), int8, onnx)


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
