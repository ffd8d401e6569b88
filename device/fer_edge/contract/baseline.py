"""A face's own neutral as a file (``fer-edge/baseline/1``): from ``fer-edge baseline``, for ``--baseline``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fer_edge.contract import codec
from fer_edge.contract.bundle import Bundle
from fer_edge.contract.errors import SchemaError
from fer_edge.contract.names import printable
from fer_edge.contract.regular import read_regular

SCHEMA = "fer-edge/baseline/1"


@dataclass(frozen=True)
class BaselineDoc:
    """Averages over pictures of one still face; no picture, no identity.

    Attributes:
        model_id: of the bundle that read it.
        bundle_sha256: of the same; another network's log-odds are others.
        labels: in the classifier's order.
        log_odds: log(p / (1 - p)) of each, averaged.
        n: pictures averaged.
        made_at: RFC 3339.
    """

    model_id: str
    bundle_sha256: str
    labels: tuple[str, ...]
    log_odds: tuple[float, ...]
    n: int
    made_at: str


def dumps(document: BaselineDoc) -> str:
    """As the file holds it."""
    return codec.dumps(SCHEMA, document)


def load(path: str | os.PathLike[str], bundle: Bundle) -> BaselineDoc:
    """Reads a baseline that holds for a bundle.

    Raises:
        SchemaError: it cannot be read, is none, or was made with another bundle or other labels.
    """
    what = f"baseline {printable(os.fspath(path))}"
    again = "make it again: fer-edge baseline"
    try:
        document = codec.loads(SCHEMA, BaselineDoc, read_regular(Path(path)))
    except OSError as error:
        raise SchemaError(what, f"{error.strerror or error}; expected a file that fer-edge baseline wrote") from error
    except SchemaError as error:
        raise SchemaError(what, f"{error}; {again}") from error
    if document.bundle_sha256 != bundle.sha256 or document.labels != bundle.manifest.labels:
        ours = f"{bundle.manifest.model_id} {bundle.sha256[:12]}"
        raise SchemaError(what, f"made with {document.model_id} {document.bundle_sha256[:12]}, not {ours}; {again}")
    if len(document.log_odds) != len(document.labels) or not all(abs(value) < 100 for value in document.log_odds):
        raise SchemaError(what, f"{len(document.log_odds)} log-odds, expected one for each label; {again}")
    return document
