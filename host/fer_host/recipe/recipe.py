"""Recipes: one TOML file = one reproducible bundle. Decoded strictly, refused with the field's path."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import tomllib

from fer_edge.contract import codec
from fer_edge.contract.align import align_for
from fer_edge.contract.errors import SchemaError
from fer_edge.contract.labels import LABEL_SETS, LabelSet, check_labels, label_sets
from fer_edge.contract.manifest import License
from fer_edge.contract.names import PLAIN_NAME, is_plain_name
from fer_edge.contract.regular import read_regular
from fer_edge.contract.specs import AlignSpec, InputSpec
from fer_host.errors import RecipeError
from fer_host.files.paths import RECIPES
from fer_host.recipe.convert import ONNX_VARIANTS, ConvertConfig
from fer_host.recipe.places import check_pattern, line_of, with_places
from fer_host.recipe.prune import PruneConfig
from fer_host.recipe.quantize import QuantizeConfig
from fer_host.recipe.train import TrainConfig

T = TypeVar("T")


@dataclass(frozen=True)
class Recipe:
    """One network, its training, its conversion and its bundle.

    A TOML file has ``crop_px``, the side of the crop, in the place of ``align``: the template follows from it. Only a
    recipe with a geometry of its own states an ``[align]`` table.
    ``detector`` is the default one, which the crop geometry was measured with; the others are there to be chosen.
    ``heads`` are the label sets of a network that answers in several, ``labels`` first; empty: in ``labels`` only.
    ``held_out`` is the share of Training that no cycle sees, whole groups of identical images or persons, so that the
    temperature is fitted on it; 0 fits it on the validation rows, on which epochs are chosen as well.
    ``identities`` is the number of people that a face-recognition stage tells apart; 0 for expressions.

    A recipe of the user's own may lie in any folder. Its ``network`` may be "file.py:Class", its ``labels`` a list of
    names (``own_labels`` here, and "own" in ``labels``), ``person`` the pattern whose first group in a photo's file
    name says who it shows. Paths in it count from its folder. ``origin`` is what ``load_recipe`` finds it by: its name,
    or its path; its weights, card and tuned files then lie beside it.
    """

    id: str
    network: str
    labels: Literal["ferplus8", "fer7", "identities", "own"]
    size_px: int
    input: InputSpec
    align: AlignSpec
    version: str = "0.1.0"
    summary: str = ""
    detector: str = "blazeface_short"
    convert: ConvertConfig = field(default_factory=ConvertConfig)
    train: tuple[TrainConfig, ...] = ()
    licenses: tuple[License, ...] = ()
    prune: PruneConfig | None = None
    quantize: QuantizeConfig | None = None
    other_detectors: tuple[str, ...] = ("blazeface_full", "mtcnn")
    identities: int = 0
    heads: tuple[Literal["ferplus8", "fer7"], ...] = ()
    own_labels: tuple[str, ...] = ()
    person: str = ""
    held_out: float = 0.0
    sha256: str = ""
    origin: str = ""

    def __post_init__(self) -> None:
        for name in ("id", "version"):
            if not is_plain_name(found := getattr(self, name)):  # folders and files are called by it
                raise SchemaError(name, f"found {found!r}, expected {PLAIN_NAME}")
        if self.convert.default_variant not in self.convert.variants or "float32" not in self.convert.variants:
            raise SchemaError("convert.variants", "must hold float32 and the default variant")
        if not set(self.convert.variants) - {"mixed", *ONNX_VARIANTS} <= set(self.convert.tolerance_p):
            raise SchemaError("convert.tolerance_p", "must name every variant")
        if (self.labels == "identities") != (self.identities > 1):
            raise SchemaError("identities", 'expected 2 or more exactly where labels are "identities"')
        if (self.labels == "own") != bool(self.own_labels):
            raise SchemaError(
                "labels", 'expected ferplus8, fer7, identities or a list of names, e.g. ["calm", "tired"]'
            )
        if self.own_labels:
            check_labels(self.own_labels)
        check_pattern(self.person)
        if self.held_out and not 0.01 <= self.held_out <= 0.5:
            raise SchemaError("held_out", f"found {self.held_out:g}, expected 0, or a share of Training of 0.01 to 0.5")
        if self.heads and (
            self.heads[0] != self.labels or len(self.heads) < 2 or len(set(self.heads)) < len(self.heads)
        ):
            raise SchemaError("heads", f"found {', '.join(self.heads)}, expected two or more sets, {self.labels} first")
        tables = {"train": self.train}
        tables |= {"prune.reward": (self.prune.reward,)} if self.prune else {}
        tables |= {"quantize.tune": (self.quantize.tune,)} if self.quantize else {}
        for table, cycles in tables.items():
            if any(len(cycle.loss.head_shares) != len(self.heads) for cycle in cycles):
                raise SchemaError(table, f"expected one of loss.head_shares for each of {len(self.heads)} heads")
        previous = [cycle.start == "previous" for cycle in self.train]
        if previous and (not all(previous[1:]) or previous[0] != (self.prune is not None)):
            raise SchemaError(
                "train", "expected cycles that start from the previous, but the first one of a recipe without [prune]"
            )

    @property
    def label_sets(self) -> tuple[LabelSet, ...]:
        """What the outputs mean, the recipe's own ``labels`` first; none for a network that tells people apart."""
        if self.labels == "identities":
            return ()
        if self.labels == "own":
            return (LabelSet("own", self.own_labels, (0, len(self.own_labels))),)
        return label_sets(self.heads or (self.labels,))

    @property
    def n_outputs(self) -> int:
        """Values that the network gives, of all label sets together."""
        return self.identities or self.label_sets[-1].slice[1]

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of ``labels`` in output order."""
        if self.labels == "identities":
            return tuple(f"identity {i}" for i in range(self.identities))
        return self.own_labels or tuple(LABEL_SETS[self.labels])

    @property
    def folder(self) -> Path | None:
        """Of a recipe that was loaded from a file of the user's own; None for one that ships."""
        return Path(self.origin).parent if self.origin.endswith(".toml") else None

    @property
    def seed(self) -> int:
        """Of its training; 0 for a recipe without any."""
        return self.train[0].seed if self.train else 0

    @property
    def input_hw(self) -> tuple[int, int]:
        """(height, width) of the network's input in px."""
        return self.size_px, self.size_px


@dataclass(frozen=True)
class DetectorNetwork:
    """One network file of a detector.

    Attributes:
        name: its role in the bundle is ``detector/<name>``, its file there ``detector/<name>.tflite``.
        file: path in the package; .tflite is taken as it is, .onnx is converted.
        sha256: of that file.
        input_hw: (height, width) that an ONNX network of any size is fixed to; the device may resize it.
        outputs: those that an ONNX network's one output joins, in this order.
        float_from: in the int8 form, operators from this one on (of the float32 file) stay in float; None: no such
            form is made.
    """

    name: str
    file: str
    sha256: str
    input_hw: tuple[int, int] | None = None
    outputs: tuple[str, ...] = ()
    float_from: int | None = None

    @property
    def int8_role(self) -> str:
        """Of its int8 form in the manifest's ``files``."""
        return f"{self.role}.int8"

    @property
    def onnx_role(self) -> str:
        """Of its form for onnxruntime in the manifest's ``files``."""
        return f"{self.role}.onnx"

    @property
    def role(self) -> str:
        """In the manifest's ``files``."""
        return f"detector/{self.name}"


@dataclass(frozen=True)
class DetectorRecipe:
    """A face detector whose trained networks come in an installable package, of which only these files are taken."""

    id: Literal["blazeface_short", "blazeface_full", "mtcnn"]
    package: str
    version: str
    networks: tuple[DetectorNetwork, ...]
    thresholds: dict[str, float]
    license: License

    @property
    def sha256(self) -> str:
        """Of the one network, or over the digests of all."""
        digests = [network.sha256 for network in self.networks]
        return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


def recipe_names() -> list[str]:
    """All MODEL names that ``convert`` knows."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def paper_recipe_names() -> list[str]:
    """The papers' own constants, for machines that can afford them: ``recipes/paper``."""
    return sorted(path.stem for path in (RECIPES / "paper").glob("*.toml"))


def load_recipe(name: str) -> Recipe:
    """The recipe of this name, or the TOML file at this path.

    Raises:
        RecipeError: unknown, not TOML, or a field that does not fit.
    """
    papers = paper_recipe_names()
    folder = RECIPES / "paper" if name in papers else RECIPES
    path = Path(name).resolve()
    ships = not name.endswith(".toml") or path.parent in (RECIPES.resolve(), (RECIPES / "paper").resolve())

    def completed(data: dict[str, Any]) -> dict[str, Any]:
        return _completed(data if ships else with_places(data, path.parent))

    recipe, digest = _load(Recipe, folder, name, [*recipe_names(), *papers], completed)
    return dataclasses.replace(recipe, sha256=digest, origin=recipe.id if ships else str(path))


def model_of(recipe: Recipe) -> str:
    """What names a recipe on a command line: its id, or where it came from a TOML file elsewhere, a stand-in."""
    known = recipe.id in (*recipe_names(), *paper_recipe_names())
    if known and load_recipe(recipe.id).sha256 == recipe.sha256:
        return recipe.id
    return shlex.quote(recipe.origin) if recipe.folder else "RECIPE.toml"


def load_detector(name: str) -> DetectorRecipe:
    """The detector recipe of this name, from ``recipes/detectors``."""
    folder = RECIPES / "detectors"
    return _load(DetectorRecipe, folder, name, sorted(path.stem for path in folder.glob("*.toml")))[0]


def _completed(data: dict[str, Any]) -> dict[str, Any]:
    """A recipe's table in the form of ``Recipe``: crop geometry, and labels of the user's own."""
    data = _with_align(data)
    for name in ("own_labels", "origin", "sha256"):
        if name in data:
            raise SchemaError(name, "unknown field")
    if isinstance(data.get("labels"), list):
        data = {**data, "labels": "own", "own_labels": data["labels"]}
    return data


def _with_align(data: dict[str, Any]) -> dict[str, Any]:
    """A recipe's table with the crop geometry that its ``crop_px`` stands for."""
    if "crop_px" not in data and "align" in data:
        return data
    if "crop_px" not in data:
        raise SchemaError("crop_px", "missing; expected the side of the crop in px, e.g. 96")
    rest = {key: value for key, value in data.items() if key != "crop_px"}
    if "align" in rest:
        raise SchemaError("crop_px", "found beside [align]; expected one of them")
    if type(data["crop_px"]) is not int or data["crop_px"] < 8:
        raise SchemaError("crop_px", f"found {data['crop_px']!r}, expected a whole number of px, at least 8")
    return {**rest, "align": codec.encode(align_for(data["crop_px"]))}


def _as_it_is(data: dict[str, Any]) -> dict[str, Any]:
    return data


def _load(
    cls: type[T],
    folder: Path,
    name: str,
    known: list[str],
    completed: Callable[[dict[str, Any]], dict[str, Any]] = _as_it_is,
) -> tuple[T, str]:
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    if not path.is_file():
        close = difflib.get_close_matches(name, known, n=1)
        own = [each for each in known if (folder / f"{each}.toml").is_file()]
        hint = f"did you mean {close[0]}?" if close else "`fer-host models` lists the papers' own too"
        raise RecipeError(f"MODEL {name!r}: no such recipe; expected one of {', '.join(own)}; {hint}")
    text = read_regular(path)
    try:
        data: dict[str, Any] = tomllib.loads(text.decode())
        return codec.decode(cls, completed(data), path.stem), hashlib.sha256(text).hexdigest()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path}: not valid TOML ({error})") from error
    except SchemaError as error:
        line = line_of(text.decode(), error.path.removeprefix(f"{path.stem}."))
        raise RecipeError(f"recipe {path}{f', line {line}' if line else ''}: {error}") from error
