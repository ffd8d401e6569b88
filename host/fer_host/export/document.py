"""``network.json`` of an export: what the network is, how it is fed, what its outputs mean, and the folder's files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fer_edge.contract import codec
from fer_edge.contract.errors import BundleError, SchemaError
from fer_edge.contract.labels import LabelSet
from fer_edge.contract.specs import AlignSpec, InputSpec, TensorSpec

SCHEMA = "fer-edge/export/1"
INDEX_NAME = "network.json"


@dataclass(frozen=True)
class OperatorNote:
    """An operator that the accelerator does not have."""

    index: int
    type: str
    reason: str


@dataclass(frozen=True)
class ExportDoc:
    """One export.

    Attributes:
        network: the recipe's id.
        accelerator: NAME of ``--for``.
        form: of the network's file, in words: shapes and types.
        compiler: that the operators were checked for, and its version.
        source: of the table of operators.
        tried: whether that compiler ran on such an export.
        weights_sha256: of the weights.
        label_sets: what the outputs mean, with the temperature that they are divided by.
        input: from a crop to the network's values; nothing of it is in the network.
        align: from a picture to a crop.
        input_hw: (height, width) of the network's input.
        tensors: input and output of an int8 file, with scale and zero point; empty for float.
        operators: number by type.
        elsewhere: those that the accelerator does not have.
        calibration: the pictures, in words.
        files: of the folder, and their sha256.
    """

    network: str
    accelerator: str
    form: str
    compiler: str
    source: str
    tried: str
    weights_sha256: str
    label_sets: tuple[LabelSet, ...]
    input: InputSpec
    align: AlignSpec
    input_hw: tuple[int, int]
    tensors: tuple[TensorSpec, ...]
    operators: dict[str, int]
    elsewhere: tuple[OperatorNote, ...]
    calibration: str
    files: dict[str, str]


def dumps(document: ExportDoc) -> str:
    """As JSON text."""
    return codec.dumps(SCHEMA, document)


def loads(text: str | bytes) -> ExportDoc:
    """From JSON text; raises SchemaError with the field's path."""
    return codec.loads(SCHEMA, ExportDoc, text)


def files_of_export(path: Path) -> set[str]:
    """The files that ``fer-host export`` made in a folder: its index, and those that the index lists.

    Raises:
        BundleError: there is no index of ours.
    """
    index = path / INDEX_NAME
    try:
        listed = loads(index.read_bytes()).files if index.is_file() else None
    except (SchemaError, OSError) as error:
        raise BundleError(f"export {path}: its {INDEX_NAME} is not one of ours ({error})") from error
    if listed is None:
        raise BundleError(
            f"output {path}: is not empty and holds no older export; expected a new or empty folder, or an older export"
        )
    return {INDEX_NAME, *listed}
