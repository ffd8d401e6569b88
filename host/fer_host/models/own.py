"""A network of the user's own, named "file.py:Class": loading it runs the user's code, as `python file.py` would."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from fer_host.errors import RecipeError
from fer_host.files.artifacts import sha256_bytes

# what a class may call the number of outputs, of input channels, and the input's side in px
_ARGUMENTS = {
    "n_classes": ("n_classes", "num_classes", "classes", "n_outputs", "num_outputs"),
    "in_channels": ("in_channels", "in_chans", "n_channels", "channels", "input_channels"),
    "size_px": ("size_px", "size", "image_size", "img_size", "input_size"),
}
_loaded: dict[Path, ModuleType] = {}


def is_own(network: str) -> bool:
    """Whether a recipe's ``network`` is a file of the user's and not a name of ours."""
    return ".py:" in network


def build_own(network: str, n_classes: int, in_channels: int, size_px: int) -> nn.Module:
    """Makes the network of "file.py:Class": a class or function that gives an ``nn.Module``.

    It gets, of these three, those that it has arguments for, by name (``num_classes``, ``in_channels``, ``size_px`` and
    common other spellings).

    Args:
        network: path and name.
        n_classes: values that it must give.
        in_channels: of its input, 1 or 3.
        size_px: side of its input.

    Raises:
        RecipeError: no such file or name, an error in the user's code (with its line), or another input or output.
    """
    path, name = _split(network)
    make = getattr(_module(path), name, None)
    if not callable(make):
        known = [key for key, value in vars(_module(path)).items() if isinstance(value, type) and _is_network(value)]
        raise RecipeError(f"network {path}: has no class or function {name!r}; it has {', '.join(known) or 'none'}")
    values = {"n_classes": n_classes, "in_channels": in_channels, "size_px": size_px}
    made = run_theirs(path, f"{name}(…)", lambda: make(**_fitting(path, name, make, values)))
    if not isinstance(made, nn.Module):
        raise RecipeError(f"network {path}: {name} gives a {type(made).__name__}, expected a torch.nn.Module")
    made.eval()
    x = torch.zeros(1, in_channels, size_px, size_px)
    with torch.no_grad():
        found = run_theirs(path, f"{name}.forward", lambda: made(x))
    shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
    if shape != (1, n_classes):
        raise RecipeError(
            f"network {path}: {name} gives {shape} for an input of {tuple(x.shape)}, expected (1, {n_classes}): one "
            "value a label, before any softmax"
        )
    return made


def code_sha256(network: str) -> str:
    """Digest of the user's code: the file, and what it imports from its own folder."""
    path, _ = _split(network)
    return sha256_bytes(b"\0".join(file.read_bytes() for file in sorted(_with_imported(path, set()))))


def _with_imported(path: Path, known: set[Path]) -> set[Path]:
    """The file and those of its folder that it imports, and they in turn."""
    if path in known:
        return known
    known.add(path)
    tree = run_theirs(path, "import", lambda: ast.parse(path.read_bytes(), str(path)))
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in {name.partition(".")[0] for name in names}:
            package = path.parent / name
            inside = [path.parent / f"{name}.py", *(package.rglob("*.py") if name and package.is_dir() else ())]
            for file in inside:
                if file.is_file():
                    _with_imported(file, known)
    return known


def run_theirs(path: Path, what: str, call: Callable[[], Any]) -> Any:
    """Calls code of the user's; its error becomes one line with file and line.

    Raises:
        RecipeError: it raised.
    """
    sys.path.append(str(path.parent))  # last: what it imports from beside it is found, and hides nothing
    try:
        return call()
    except RecipeError:
        raise
    except Exception as error:  # the user's code raises anything
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [frame for frame in frames if Path(frame.filename).parent == path.parent]
        if isinstance(error, SyntaxError) and error.filename is not None:
            place = f"{error.filename}, line {error.lineno}"
        else:
            place = f"{theirs[-1].filename}, line {theirs[-1].lineno}" if theirs else str(path)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RecipeError(f"network {place}: {what} raised {type(error).__name__}: {reason}") from error
    finally:
        sys.path.remove(str(path.parent))


def _split(network: str) -> tuple[Path, str]:
    file, _, name = network.rpartition(":")
    path = Path(file).resolve()
    if not path.is_file():
        raise RecipeError(f"network {network!r}: no such file {path}; expected file.py:Class, from the recipe's folder")
    return path, name


def _module(path: Path) -> ModuleType:
    if path not in _loaded:
        spec = importlib.util.spec_from_file_location(f"own_network_{path.stem}", path)
        assert spec is not None, "a .py file has a loader"
        assert spec.loader is not None, "a .py file has a loader"
        module, loader = importlib.util.module_from_spec(spec), spec.loader
        others = {known.parent for known in _loaded} - {path.parent}
        for name, other in list(sys.modules.items()):  # a `layers.py` of another folder is not this one's
            if (file := getattr(other, "__file__", None)) and Path(file).parent in others:
                del sys.modules[name]
        sys.modules[spec.name] = module
        run_theirs(path, "import", lambda: loader.exec_module(module))
        _loaded[path] = module
    return _loaded[path]


def _fitting(path: Path, name: str, make: Callable[..., Any], values: dict[str, int]) -> dict[str, int]:
    """The arguments that a class or function takes.

    Raises:
        RecipeError: it needs one that we do not know.
    """
    names = {spelling: key for key, spellings in _ARGUMENTS.items() for spelling in spellings}
    taken, unknown = {}, []
    for parameter in inspect.signature(make).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.name in names:
            taken[parameter.name] = values[names[parameter.name]]
        elif parameter.default is parameter.empty:
            unknown.append(parameter.name)
    if unknown:
        line = inspect.getsourcelines(make)[1]
        raise RecipeError(
            f"network {path}, line {line}: {name} needs {', '.join(unknown)}, which a recipe does not have; expected "
            f"arguments among {', '.join(s[0] for s in _ARGUMENTS.values())}, or others with a default"
        )
    return taken


def _is_network(value: type) -> bool:
    return issubclass(value, nn.Module)
