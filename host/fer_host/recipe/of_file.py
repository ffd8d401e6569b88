"""A network that comes as a file (.onnx, .pt2) with what the command line says of it, as a recipe like any other."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from fer_edge.contract.align import align_for
from fer_edge.contract.errors import SchemaError
from fer_edge.contract.labels import LABEL_SETS
from fer_edge.contract.manifest import License
from fer_edge.contract.specs import InputSpec, Normalize
from fer_host.errors import RecipeError
from fer_host.files.artifacts import digest_json
from fer_host.recipe.recipe import Recipe

FILES = (".onnx", ".pt2")
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_VALUES = ("0..1", "-1..1", "imagenet", "standardize", "stretch")
_SMALLEST_CROP_PX = 96  # of shipped recipes: the crop keeps what a larger input could show
EXPECTED = (
    "COLOR,SIZE or COLOR,SIZE,VALUES: color gray, gray3 or rgb, the side in px, and what values it was trained on: "
    f"{', '.join(_VALUES)}; e.g. gray,48 or rgb,224,imagenet"
)


@dataclass(frozen=True)
class FileInput:
    """What a file does not say of itself.

    Attributes:
        labels: names, in output order, separated by commas.
        input: see ``EXPECTED``.
        crop_px: side of the face crop; None takes the input's, 96 px at least.
        detector: that finds the face.
    """

    labels: str
    input: str
    crop_px: int | None = None
    detector: str = "blazeface_short"


def is_file(model: str) -> bool:
    """Whether MODEL is a network's file and not a recipe."""
    return Path(model).suffix.lower() in FILES


def recipe_of_file(path: Path, given: FileInput) -> Recipe:
    """The recipe that a file and its description stand for; its ``network`` is the file's name.

    Raises:
        RecipeError: labels, input or crop that cannot be.
    """
    labels = tuple(name.strip() for name in given.labels.split(","))
    known = next((name for name, names in LABEL_SETS.items() if names == labels), None)
    spec, size_px = input_of(given.input)
    crop_px = given.crop_px or max(_SMALLEST_CROP_PX, size_px)
    model_id = re.sub(r"[^A-Za-z0-9._+-]+", "_", path.stem).lstrip("._+-")[:64] or "network"
    try:
        recipe = Recipe(
            id=model_id,
            network=path.name,
            labels=cast(Literal["ferplus8", "fer7"], known) if known else "own",
            own_labels=() if known else labels,
            size_px=size_px,
            input=spec,
            align=align_for(crop_px),
            detector=given.detector,
            summary=f"converted from {path.name}",
            licenses=(License("network weights", "LicenseRef-not-stated", f"the user's own file {path.name}"),),
        )
    except SchemaError as error:
        option = {"labels": "--labels"}.get(error.path.partition("[")[0], error.path)
        raise RecipeError(f"network {path}: {option}: {str(error).partition(': ')[2]}") from error
    return dataclasses.replace(recipe, sha256=digest_json([recipe.id, labels, given.input, crop_px, given.detector]))


def input_of(text: str) -> tuple[InputSpec, int]:
    """An ``--input`` as the manifest says it, and the side in px.

    Raises:
        RecipeError: says what is expected.
    """
    color, size, *rest = [*(part.strip() for part in text.split(",")), ""]
    values = rest[0] if rest and rest[0] else "0..1"
    if color not in ("gray", "gray3", "rgb") or not size.isdecimal() or values not in _VALUES or len(rest) > 2:
        raise RecipeError(f"--input {text!r}: expected {EXPECTED}")
    n = 1 if color == "gray" else 3
    mean, std = {"imagenet": _IMAGENET, "-1..1": _HALF}.get(values, ((0.0,) * 3, (1.0,) * 3))
    if values == "imagenet" and n == 1:
        raise RecipeError(
            f"--input {text!r}: ImageNet's values are of three colors; expected gray3 or rgb with imagenet"
        )
    normalize = cast(Normalize, values) if values in ("standardize", "stretch") else None
    try:
        spec = InputSpec(
            color=cast(Literal["gray", "gray3", "rgb"], color),
            source_px=int(size),
            interpolation="bilinear",
            mean=mean[:n],
            std=std[:n],
            normalize=normalize,
        )
    except SchemaError as error:
        raise RecipeError(f"--input {text!r}: {error}; expected {EXPECTED}") from error
    return spec, int(size)
