"""onnxruntime, where a network is an ONNX file: found, given a provider, and asked what really computes.

The only module that imports it, and only when such a network is opened: else it costs no memory. Its telemetry (since
1.29: events to Microsoft, a device's number and a data base below ~/.cache/Microsoft, a thread) is switched off before.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.board import identify as board
from fer_edge.classifier.onnx_file import check_onnx
from fer_edge.classifier.providers import CPU, TENSORRT, Choice, choose, fell_back
from fer_edge.classifier.runtime import LoadedRuntime, RunsOn, is_older
from fer_edge.classifier.versions import version_of
from fer_edge.contract import kept
from fer_edge.contract.descriptors import captured
from fer_edge.contract.digest import sha256
from fer_edge.contract.manifest import Scheme
from fer_edge.errors import RunnerError

NAME = "onnxruntime"
DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu")  # that bring the module
NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"
ENGINES = "engines"  # TensorRT's, in the cache: one folder for each board, runtime and network
_ONLY_ERRORS = 3  # of its log


@functools.lru_cache(maxsize=1)
def find_onnxruntime() -> LoadedRuntime:
    """The installed onnxruntime.

    Raises:
        RunnerError: none is installed, or it cannot be imported.
    """
    silence()
    try:
        module = importlib.import_module(NAME)
    except ImportError as error:
        raise RunnerError(
            f"onnxruntime: cannot be imported ({error}); install it (fer-edge doctor prints the command), or take "
            "another variant with --variant"
        ) from error
    return LoadedRuntime(NAME, str(module.__version__), module)


def silence() -> None:
    """Switches its telemetry off, for this process and those that it starts; it looks when it is loaded."""
    os.environ[NO_TELEMETRY] = "1"


def installed_version() -> str:
    """Of the installed onnxruntime, without importing it; "" where none is installed."""
    return next((found for name in DISTRIBUTIONS if (found := version_of(name))), "")


def available() -> tuple[str, ...]:
    """The providers that the installed onnxruntime was built with; one may still not start.

    Raises:
        RunnerError: see ``find_onnxruntime``.
    """
    return tuple(find_onnxruntime().module.get_available_providers())


@dataclass(frozen=True)
class Session:
    """An opened network.

    Attributes:
        native: onnxruntime's own session.
        runs_on: what computes it.
        what: names the network in messages.
    """

    native: Any
    runs_on: RunsOn
    what: str

    def run(self, feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """All outputs, in the file's order.

        Raises:
            RunnerError: it cannot be computed, as of a damaged network.
        """
        try:
            outputs: list[NDArray[Any]] = self.native.run(None, feeds)
        except Exception as error:  # its own kinds, which are no RuntimeErrors
            raise RunnerError(_problem(self.what, str(self.runs_on), error)) from error
        return outputs


def open_session(
    model: bytes,
    what: str,
    threads: int = 1,
    scheme: Scheme = "float32",
    min_runtime: str = "",
    provider: str | None = None,
) -> Session:
    """A session for ``model`` on the best provider of this board, or on the CPU where that one cannot start.

    Args:
        model: content of an ONNX file.
        what: names the network in messages.
        threads: of the CPU's kernels, at least 1.
        scheme: the network's numbers.
        min_runtime: what the manifest asks for.
        provider: one of ``providers.NAMES``; None takes the best.

    Raises:
        RunnerError: no onnxruntime, one that is too old, or not a network that it can run.
    """
    check_onnx(model, what)
    runtime = find_onnxruntime()
    if is_older(runtime.name, runtime.version, min_runtime):
        raise RunnerError(
            f"{what}: needs {min_runtime} or newer, found {runtime}; update it (fer-edge doctor prints the command), "
            "or take another variant with --variant"
        )
    choice = choose(available(), board.has_nvidia_gpu(), scheme, provider)
    native, said = _opened(runtime, model, what, threads, scheme, choice)
    used = native.get_providers()
    lacks = fell_back(choice, used, said, assigned(native))
    return Session(native, RunsOn(runtime.name, runtime.version, used[0], lacks), what)


def assigned(native: Any) -> dict[str, int] | None:
    """How many operators of a session each provider took; None where onnxruntime cannot say (before 1.24)."""
    try:
        parts = native.get_provider_graph_assignment_info()
        return dict(Counter(str(part.ep_name) for part in parts for _ in part.get_nodes()))
    except Exception:  # AttributeError, or its own kinds, which are no RuntimeErrors
        return None


def _opened(
    runtime: LoadedRuntime, model: bytes, what: str, threads: int, scheme: Scheme, choice: Choice
) -> tuple[Any, str]:
    """The session with the first providers that can start, and what one said that could not."""
    said = ""
    for i, first in enumerate(choice.order):
        providers = [(name, _options(name, model, scheme, runtime)) for name in choice.order[i:]]
        try:
            with captured(2) as printed:
                native = runtime.module.InferenceSession(
                    model, _settings(runtime.module, threads), providers=providers, enable_fallback=0
                )
        except Exception as error:  # its own kinds, which are no RuntimeErrors
            if first == CPU:
                raise RunnerError(_problem(what, str(runtime), error)) from error
            said = said or _brief(str(error))
            continue
        if native.get_providers()[0] != first:
            said = said or _brief(bytes(printed).decode(errors="replace"))
        return native, said
    raise RunnerError(f"{what}: {runtime} has no provider")  # the order ends with the CPU


def _settings(module: Any, threads: int) -> Any:
    """One network after another, its threads asleep between two frames, nothing told but errors."""
    settings = module.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    settings.log_severity_level = _ONLY_ERRORS
    settings.add_session_config_entry("session.load_model_format", "ONNX")
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")  # of no meaning before 1.24
    return settings


def _options(name: str, model: bytes, scheme: Scheme, runtime: LoadedRuntime) -> dict[str, str]:
    """TensorRT builds an engine for minutes: it is kept by board, runtime and network."""
    if name != TENSORRT:
        return {}
    options = {"trt_fp16_enable": "True" if scheme == "float16" else "False"}
    folder = engine_folder(model, scheme, runtime.version)
    if folder is not None:
        options |= {
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "True",
            "trt_timing_cache_path": str(folder),
        }
    return options


def engine_folder(model: bytes, scheme: Scheme, version: str, root: Path = Path("/")) -> Path | None:
    """Where the engines of a network lie that were built on this board by this onnxruntime; None: nowhere safe.

    An engine is code: the folder is one that nobody else can write to, see ``contract.kept``.
    """
    here, l4t = board.identify(root), board.l4t(root)
    things = (here.model, here.soc, str(l4t), version, scheme, sha256(model))
    return kept.folder_of(ENGINES, sha256("\n".join(things).encode()))


def nodes_by_provider(model: bytes, scheme: Scheme = "float32", provider: str | None = None) -> dict[str, int]:
    """How many operators of a network each provider really computes: one that has started may still take none.

    Runs it once under onnxruntime's own profiler.

    Raises:
        RunnerError: see ``open_session``.
    """
    runtime = find_onnxruntime()
    check_onnx(model, "network")
    choice = choose(available(), board.has_nvidia_gpu(), scheme, provider)
    import tempfile

    with tempfile.TemporaryDirectory(prefix="fer-edge-") as folder:
        settings = _settings(runtime.module, 1)
        settings.enable_profiling, settings.profile_file_prefix = True, str(Path(folder, "profile"))
        providers = [(name, _options(name, model, scheme, runtime)) for name in choice.order]
        try:
            with captured(2):
                native = runtime.module.InferenceSession(model, settings, providers=providers, enable_fallback=0)
            (source,) = native.get_inputs()
            native.run(None, {source.name: np.zeros(source.shape, _dtype(source.type))})
            events = json.loads(Path(native.end_profiling()).read_bytes())
        except Exception as error:  # its own kinds, which are no RuntimeErrors
            raise RunnerError(_problem("network", str(runtime), error)) from error
    ran = (event["args"] for event in events if event.get("cat") == "Node" and event.get("args"))
    return dict(Counter(str(arguments["provider"]) for arguments in ran if arguments.get("provider")))


def _dtype(name: str) -> Any:
    return {"tensor(float)": np.float32, "tensor(int8)": np.int8}[name]


def _problem(what: str, runtime: str, error: Exception) -> str:
    return f"{what}: {runtime} cannot run it ({_brief(str(error))}); rebuild or re-copy the bundle"


def _brief(text: str) -> str:
    """The first line that says something, without its colors."""
    lines = [line.strip() for line in text.replace("\x1b[m", "").replace("\x1b[0m", "").splitlines()]
    said = next((line for line in lines if line), "it said nothing")
    return " ".join(said.split("] ")[-1].split())[:200]
