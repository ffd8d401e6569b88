"""An exported program of the user's own (``torch.export.save``, .pt2), opened without running anything that is in it.

``torch.export.load`` alone would: it falls back to unpickling, loads compiled libraries, evaluates expressions and
calls functions by name. So the archive is looked through first, and only what a plain network needs is let in.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

from fer_edge.contract.bounds import BUNDLE_FILE_BYTES
from fer_host.errors import WeightsError

# What torch 2.6 to 2.13 write for a network of tensors; the first part is the archive's own name.
_FILES = re.compile(
    r"[^/]+/(archive_format|archive_version|version|byteorder|\.format_version|\.storage_alignment|\.data/.*"
    r"|models/[^/]+\.json|data/weights/[^/]+|data/constants/(tensor_\d+|[^/]+\.json)|data/sample_inputs/[^/]+\.pt"
    r"|extra/[^/]+)"
)
_TARGETS = re.compile(
    r"torch\.ops\.(aten|prims)\.\w+\.\w+|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge)"
    r"|torch\.sym_\w+|math\.(ceil|floor)|torch\.ops\.higher_order\.wrap_with_set_grad_enabled"
)
_SYMBOL = re.compile(r"Symbol\('\w+'(, \w+=True)*\)")
_ARITHMETIC = re.compile(r"[\w\s+*/()<>=,-]*")
_NAMES = re.compile(  # sympy evaluates expressions: no attribute, text, index or other name
    r"[su]\d*|\d+|True|False|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|ModularIndexing|floor|ceiling|Eq|Ne|Ge|Le|Gt|Lt"
)


def load_exported(path: Path, n_classes: int, channels: int, size_px: int) -> nn.Module:
    """The network of a .pt2 file: (1, channels, size_px, size_px) -> (1, n_classes).

    Raises:
        WeightsError: no such network, one that holds more than tensors and operators, or of another input or output.
    """
    content = _checked(path)
    try:
        with _closed_to_code(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = torch.export.load(io.BytesIO(content)).module()
    except Exception as error:  # torch's reader raises anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise WeightsError(
            f"network {path}: torch.export cannot load it ({reason}); export it with this torch"
        ) from error
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # torch's own, at every copy
    x = torch.zeros(1, channels, size_px, size_px)
    try:
        with torch.no_grad():
            found: Any = network(x)
    except Exception as error:  # guards on shapes, and whatever an operator raises
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise WeightsError(
            f"network {path}: does not run on an input of {tuple(x.shape)} ({reason}); is the size given by --input "
            "right? (batch 1, colors first)"
        ) from error
    shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
    if shape != (1, n_classes):
        raise WeightsError(f"network {path}: gives {shape} for {tuple(x.shape)}, expected (1, {n_classes})")
    return network


def _checked(path: Path) -> bytes:
    """The file's bytes, if it holds nothing but a plain network."""
    if not path.is_file():
        raise WeightsError(f"network {path}: no such file; expected what torch.export.save writes")
    if path.stat().st_size > BUNDLE_FILE_BYTES:
        raise WeightsError(f"network {path}: {path.stat().st_size} bytes, expected at most {BUNDLE_FILE_BYTES}")
    content = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            if sum(entry.file_size for entry in archive.infolist()) > 2 * BUNDLE_FILE_BYTES:
                raise WeightsError(f"network {path}: unpacks to more than {2 * BUNDLE_FILE_BYTES} bytes")
            odd = [name for name in names if not _FILES.fullmatch(name)]
            if odd or not any("/models/" in name for name in names):
                raise WeightsError(
                    f"network {path}: holds {odd[0]!r}, "
                    if odd
                    else f"network {path}: holds no models/*.json, "
                    "expected an exported program of tensors alone: torch.export.save(torch.export.export(…), file)"
                )
            texts = {name: archive.read(name) for name in names if name.endswith(".json")}
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise WeightsError(f"network {path}: is no archive of torch.export.save ({error})") from error
    for name, text in texts.items():
        try:
            _check_values(path, json.loads(text))
        except (ValueError, RecursionError) as error:
            if isinstance(error, WeightsError):
                raise
            raise WeightsError(f"network {path}: {name} is no JSON") from error
    return content


def _check_values(path: Path, value: Any) -> None:
    """Refuses a function that is no operator, an expression that is no arithmetic, and pickled objects."""
    if isinstance(value, list):
        for each in value:
            _check_values(path, each)
    if not isinstance(value, dict):
        return
    for key, each in value.items():
        if key == "target" and isinstance(each, str) and not _TARGETS.fullmatch(each):
            raise WeightsError(f"network {path}: calls {each[:80]!r}, expected torch's own operators (torch.ops.aten)")
        if key == "expr_str" and not _is_arithmetic(str(each)):
            raise WeightsError(f"network {path}: has the expression {each[:80]!r}, expected plain arithmetic of sizes")
        if key == "guards_code" and each:
            raise WeightsError(
                f"network {path}: brings code that checks its input, expected none: export it for one size"
            )
        if key.startswith(("as_custom_obj", "as_operator")) and each:
            raise WeightsError(f"network {path}: holds an object of another program ({key}), expected tensors alone")
        if key == "path_name" and isinstance(each, str) and not re.fullmatch(r"(weight|tensor)_\d+", each):
            raise WeightsError(f"network {path}: keeps a value in {each[:80]!r}, expected tensors alone")
        _check_values(path, each)


def _is_arithmetic(text: str) -> bool:
    plain = _SYMBOL.sub("s", text)
    return bool(_ARITHMETIC.fullmatch(plain)) and all(map(_NAMES.fullmatch, re.findall(r"\w+", plain)))


@contextlib.contextmanager
def _closed_to_code() -> Iterator[None]:
    """Inside, torch unpickles tensors only, and says nothing."""
    plain = torch.load

    def load(*arguments: Any, **options: Any) -> Any:
        return plain(*arguments, **{**options, "weights_only": True})

    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("it holds a pickled object")

    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with mock.patch("torch.load", load), mock.patch("pickle.loads", refuse), mock.patch("pickle.load", refuse):
            yield
    finally:
        logger.setLevel(level)
