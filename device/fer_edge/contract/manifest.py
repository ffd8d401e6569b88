"""The bundle's manifest: everything that the device must know about a network, as frozen dataclasses."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from fer_edge.contract import bounds, codec
from fer_edge.contract.errors import SchemaError
from fer_edge.contract.labels import LABEL_SETS, Calibration, LabelSet, check_labels, check_sets, find_set
from fer_edge.contract.names import PLAIN_NAME, is_plain_name
from fer_edge.contract.specs import AlignSpec, DetectorSpec, InputSpec, TensorSpec, named_detector, require

SCHEMA = "fer-edge/manifest/1"
Scheme = Literal["float32", "dynamic", "int8", "mixed", "float16"]
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Metric:
    """One accuracy figure, never without its data set, n and the moment it was measured."""

    dataset: str
    labels: str
    n: int
    accuracy: float
    measured: Literal["at release", "at conversion"]


@dataclass(frozen=True)
class Layer:
    """One weighted operator: how its weights are stored and how many bits they really use on average."""

    name: str
    op: str
    storage: Literal["float32", "float16", "int8", "int4"]
    effective_bits: float
    n_weights: int


@dataclass(frozen=True)
class Variant:
    """One network file of the bundle; ``file`` and the detector's ``files`` are roles in ``Manifest.files``.

    ``format`` is what that file is; None, which a manifest leaves out, is "tflite".
    """

    id: str
    scheme: Scheme
    file: str
    input: TensorSpec
    output: TensorSpec
    min_runtime: str
    metrics: tuple[Metric, ...] = ()
    layers: tuple[Layer, ...] = ()
    format: Literal["tflite", "onnx"] | None = None

    def __post_init__(self) -> None:
        shape = self.input.shape
        fits = len(shape) == 4 and shape[0] == 1 and shape[3] in (1, 3) and max(shape[1:3]) <= bounds.INPUT_PX
        require(fits, "input.shape", f"found {shape}, expected 1,H,W,1 or 1,H,W,3 of at most {bounds.INPUT_PX} px")

    @property
    def input_hw(self) -> tuple[int, int]:
        """(height, width) of the network's input in px."""
        return self.input.shape[1], self.input.shape[2]

    @property
    def input_hwc(self) -> tuple[int, int, int]:
        """Height and width of the network's input in px, and its channels: 1 or 3."""
        return (*self.input_hw, self.input.shape[3])


@dataclass(frozen=True)
class FileEntry:
    """One file at rest in the bundle, and what it decodes to."""

    path: str
    encoding: Literal["none", "xz", "bits1"]
    size_bytes: int
    sha256: str
    decoded_size_bytes: int
    decoded_sha256: str

    def __post_init__(self) -> None:
        pure = PurePosixPath(self.path)
        inside = self.path and not pure.is_absolute() and ".." not in pure.parts and str(pure) == self.path
        require(bool(inside) and "\\" not in self.path and "\0" not in self.path, "path", _OUTSIDE.format(self.path))
        for name in ("sha256", "decoded_sha256"):
            require(bool(_SHA256.fullmatch(getattr(self, name))), name, "expected 64 lower-case hexadecimal digits")
        for name in ("size_bytes", "decoded_size_bytes"):
            size = getattr(self, name)
            most = bounds.BUNDLE_FILE_BYTES
            require(0 <= size <= most, name, f"found {size}, expected 0 to {most}")


_OUTSIDE = "found {!r}, expected a plain relative path that stays inside the bundle"


@dataclass(frozen=True)
class Golden:
    """Golden vectors: ``file`` is the role of an npz of inputs and each variant's outputs; see ``fer-edge verify``.

    Attributes:
        n: number of inputs.
        margin: top-1 is compared only where the expected top-1 margin (of probabilities) is at least this.
        tolerance_p: largest allowed |difference of a probability| with the default kernels, by variant.
    """

    file: str
    n: int
    margin: float
    tolerance_p: dict[str, float]


@dataclass(frozen=True)
class License:
    """Under which terms one part of the bundle comes, and where from."""

    component: str
    license: str
    origin: str


@dataclass(frozen=True)
class AcceptedLoss:
    """A loss that whoever made the bundle accepted for a variant, against float32: a decision, and what was found.

    Attributes:
        variant: id of the variant.
        metric: "accuracy" (its drop, on labelled pictures) or "agreement" (1 - share of equal answers).
        limit: what was accepted, 0 to 1.
        found: what was measured, 0 to 1; below 0 where the variant is the better one.
        n: number of pictures.
        data: the pictures, in words.
    """

    variant: str
    metric: Literal["accuracy", "agreement"]
    limit: float
    found: float
    n: int
    data: str


@dataclass(frozen=True)
class Provenance:
    """Where the bundle was made: source revision, seed, tool versions."""

    git_commit: str
    seed: int
    tools: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """The whole document; ``loads`` and ``dumps`` are its file format.

    ``detector`` is the one that the crop geometry was measured with, and the default; ``other_detectors`` are those
    that a user may choose instead. ``label_sets`` are those that the network answers in, where there are several;
    ``labels`` and ``calibration`` are those of ``default_label_set`` then. ``accepted_losses`` are there where a gate
    was widened by hand.
    """

    model_id: str
    version: str
    recipe_sha256: str
    weights_sha256: str
    labels: tuple[str, ...]
    input: InputSpec
    align: AlignSpec
    detector: DetectorSpec
    default_variant: str
    variants: tuple[Variant, ...]
    files: dict[str, FileEntry]
    golden: Golden
    licenses: tuple[License, ...]
    provenance: Provenance
    other_detectors: tuple[DetectorSpec, ...] = ()
    label_sets: tuple[LabelSet, ...] | None = None
    default_label_set: str | None = None
    calibration: Calibration | None = None
    accepted_losses: tuple[AcceptedLoss, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("model_id", "version"):
            found = getattr(self, name)
            require(is_plain_name(found), name, f"found {found!r}, expected {PLAIN_NAME}")
        check_labels(self.labels)
        check_sets(self.label_sets, self.default_label_set)
        own = self.label_set()
        require(self.labels == own.labels, "labels", f"expected those of {own.id}")
        require(self.calibration == own.calibration, "calibration", f"expected that of {own.id}")
        ids = [variant.id for variant in self.variants]
        fits = 0 < len(set(ids)) == len(ids) <= bounds.VARIANTS
        require(fits, "variants", f"found {len(ids)}, expected 1 to {bounds.VARIANTS}, each id once")
        require(
            self.default_variant in ids, "default_variant", f"found {self.default_variant!r}, expected one of {ids}"
        )
        for i, variant in enumerate(self.variants):
            require(variant.file in self.files, f"variants[{i}].file", f"no role {variant.file!r} in files")
            shape = variant.output.shape
            one_each = f"found {shape}, one value a label"
            require(shape == (1, self.sets[-1].slice[1]), f"variants[{i}].output.shape", one_each)
            shape, channels = variant.input.shape, self.input.channels
            require(
                shape[3] == channels,
                f"variants[{i}].input.shape",
                f"found {shape}, expected {channels} channels ({self.input.color})",
            )
        for place, spec in self._detectors.items():
            for i, role in enumerate(spec.files):
                require(role in self.files, f"{place}.files[{i}]", f"no role {role!r} in files")
            for form, roles in (("int8", spec.int8), ("onnx", spec.onnx)):
                for i, role in enumerate(roles or ()):
                    require(role in self.files, f"{place}.{form}[{i}]", f"no role {role!r} in files")
        names = [spec.id for spec in self._detectors.values()]
        require(len(set(names)) == len(names), "other_detectors", "found a detector twice")
        require(self.golden.file in self.files, "golden.file", f"no role {self.golden.file!r} in files")
        require(1 <= self.golden.n <= bounds.GOLDEN_INPUTS, "golden.n", f"expected 1 to {bounds.GOLDEN_INPUTS}")
        most, total = bounds.BUNDLE_BYTES, sum(entry.size_bytes for entry in self.files.values())
        require(len(self.files) <= bounds.BUNDLE_FILES, "files", f"found more than {bounds.BUNDLE_FILES}")
        require(total <= most, "files", f"found {total} bytes in all, expected at most {most}")
        paths = [entry.path for entry in self.files.values()]
        require(len(set(paths)) == len(paths), "files", "found one path under two roles")
        require(not {"manifest.json", "bundle.sha256"} & set(paths), "files", "found the manifest itself listed")

    @property
    def sets(self) -> tuple[LabelSet, ...]:
        """The label sets that the network answers in: one in most bundles."""
        if self.label_sets is not None:
            return self.label_sets
        known = next((name for name, labels in LABEL_SETS.items() if labels == self.labels), "own")
        return (LabelSet(known, self.labels, (0, len(self.labels)), self.calibration),)

    def label_set(self, set_id: str | None = None) -> LabelSet:
        """The named label set, or the default one.

        Raises:
            SchemaError: the bundle does not answer in it.
        """
        return find_set(self.sets, set_id or self.default_label_set or self.sets[0].id)

    def answering_in(self, set_id: str | None) -> Manifest:
        """The manifest with another default label set; itself where there is nothing to choose.

        Raises:
            SchemaError: the bundle does not answer in it.
        """
        chosen = self.label_set(set_id)
        if self.label_sets is None or chosen.id == self.default_label_set:
            return self
        return dataclasses.replace(
            self, labels=chosen.labels, default_label_set=chosen.id, calibration=chosen.calibration
        )

    @property
    def _detectors(self) -> dict[str, DetectorSpec]:
        """All detectors by their path in the document, the default first."""
        return {"detector": self.detector, **{f"other_detectors[{i}]": d for i, d in enumerate(self.other_detectors)}}

    def find_detector(self, detector_id: str | None = None) -> DetectorSpec:
        """The named detector, or the default one; of a name such as ``blazeface_short.int8`` that form of it alone.

        Raises:
            SchemaError: the bundle does not hold it.
        """
        return named_detector(tuple(self._detectors.values()), detector_id or self.detector.id)

    def variant(self, variant_id: str | None = None) -> Variant:
        """The named variant, or the default one.

        Raises:
            SchemaError: there is no such variant.
        """
        wanted = variant_id or self.default_variant
        for variant in self.variants:
            if variant.id == wanted:
                return variant
        raise SchemaError("variant", f"found {wanted!r}, this bundle has {', '.join(v.id for v in self.variants)}")


def loads(text: str | bytes) -> Manifest:
    """Decodes a manifest; raises SchemaError with the field's path."""
    if len(text) > bounds.MANIFEST_BYTES:
        raise SchemaError("manifest", f"has {len(text)} bytes, expected at most {bounds.MANIFEST_BYTES}")
    manifest = codec.loads(SCHEMA, Manifest, text)
    plain = text if isinstance(text, str) else text.decode()
    if "\\" in plain or not all(line.isprintable() for line in plain.splitlines()):  # else all of it can be shown
        codec.check_texts(codec.encode(manifest), "manifest")
    return manifest


def dumps(manifest: Manifest) -> str:
    """Encodes a manifest; ``dumps(loads(text)) == text`` for every text that ``dumps`` wrote."""
    return codec.dumps(SCHEMA, manifest)
