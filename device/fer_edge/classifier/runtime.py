"""The tflite interpreter, whichever package this machine has: ai-edge-litert, else tflite-runtime, else tensorflow.

The only module that imports one of them; the choice is made once and reported by name and version.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from fer_edge.classifier.versions import version_of
from fer_edge.contract.descriptors import captured
from fer_edge.errors import RunnerError

# (distribution, module that holds Interpreter and OpResolverType), best first.
CANDIDATES = (
    ("ai-edge-litert", "ai_edge_litert.interpreter"),
    ("tflite-runtime", "tflite_runtime.interpreter"),
    ("tensorflow", "tensorflow.lite.python.interpreter"),
)
UNKNOWN = "unknown"
log = logging.getLogger(__name__)
_TOO_NEW = re.compile(r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'")


@dataclass(frozen=True)
class LoadedRuntime:
    """The interpreter package in use."""

    name: str
    version: str
    module: ModuleType

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class RunsOn:
    """What computes one network here.

    Attributes:
        name: of the package.
        version: of the package.
        provider: of onnxruntime: what really computes; None for a tflite interpreter.
        lacks: why that is not what was meant; "" where it is.
    """

    name: str
    version: str
    provider: str | None = None
    lacks: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}" + (f" ({self.provider})" if self.provider else "")


@functools.lru_cache(maxsize=1)
def find_runtime() -> LoadedRuntime:
    """The first of CANDIDATES that imports.

    Raises:
        RunnerError: none does.
    """
    problems = []
    for distribution, module_name in CANDIDATES:
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            problems.append(f"{distribution}: {error}")
            if _is_installed(distribution):
                log.warning(
                    "%s is installed but cannot be imported (%s); fer-edge doctor says more", distribution, error
                )
            continue
        return LoadedRuntime(distribution, _version(distribution), module)
    raise RunnerError(
        f"tflite interpreter: none can be imported ({'; '.join(problems)}); "
        "fer-edge doctor prints the command that installs one"
    )


def _is_installed(distribution: str) -> bool:
    return _version(distribution) != UNKNOWN


def _version(distribution: str) -> str:
    found = version_of(distribution)
    return UNKNOWN if found is None else found  # a system build without metadata


def open_interpreter(
    model: bytes,
    what: str,
    threads: int = 1,
    reference_kernels: bool = False,
    min_runtime: str = "",
    input_shape: tuple[int, ...] | None = None,
    keep_tensors: bool = False,
    keep_lines: bool = False,
) -> Any:
    """An interpreter for ``model`` with its tensors allocated.

    Args:
        model: content of a tflite file.
        what: names the network in messages.
        threads: of the kernels, at least 1.
        reference_kernels: plain C++ kernels that give the same bits on every CPU, many times slower.
        min_runtime: what the manifest asks for, for the message.
        input_shape: of the one input, for networks that take any; None keeps the file's.
        keep_tensors: every intermediate tensor can be read after ``invoke``; slower, without a delegate.
        keep_lines: lets pass what the library prints, where it may die before we could.

    Raises:
        RunnerError: no interpreter, not a tflite file, or one that this runtime is too old for.
    """
    runtime = find_runtime()
    if is_older(runtime.name, runtime.version, min_runtime):
        raise RunnerError(
            f"{what}: needs {min_runtime} or newer, found {runtime}, which would compute it wrongly; "
            "update it (fer-edge doctor prints the command), or take another variant with --variant"
        )
    options: dict[str, Any] = {"model_content": model, "num_threads": threads}
    if reference_kernels:
        options["experimental_op_resolver_type"] = runtime.module.OpResolverType.BUILTIN_REF
    elif keep_tensors:
        options["experimental_op_resolver_type"] = runtime.module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    if keep_tensors:
        options["experimental_preserve_all_tensors"] = True
    try:
        with contextlib.nullcontext() if keep_lines else _without_info_lines():
            interpreter = runtime.module.Interpreter(**options)
            if input_shape is not None:
                interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], input_shape)
            interpreter.allocate_tensors()
            interpreter.get_input_details(), interpreter.get_output_details()  # of a damaged one, names are no text
    except SystemError as error:  # tflite-runtime's wrapper under numpy 2
        raise RunnerError(
            f"{what}: {runtime} does not work with numpy {version_of('numpy')}; "
            "pip install 'numpy<2', or ai-edge-litert in its place"
        ) from error
    except (ValueError, RuntimeError) as error:
        raise RunnerError(_problem(what, str(error), runtime, min_runtime)) from error
    return _Guarded(interpreter, what, runtime)


class _Guarded:
    """An interpreter that says in our words what its network made of it: a damaged one loads and fails when it runs.

    Args:
        interpreter: the library's.
        what: names the network in messages.
        runtime: whose it is.
    """

    def __init__(self, interpreter: Any, what: str, runtime: LoadedRuntime) -> None:
        self._interpreter, self._what, self._runtime = interpreter, what, runtime

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._interpreter, name)

        def call(*arguments: Any, **options: Any) -> Any:
            try:
                return method(*arguments, **options)
            except (ValueError, RuntimeError) as error:  # of names too: a UnicodeDecodeError is a ValueError
                said = " ".join(str(error).split())[:200]
                raise RunnerError(
                    f"{self._what}: {self._runtime} cannot run it ({said}); rebuild or re-copy the bundle"
                ) from error

        self.__dict__[name] = call  # looked up once
        return call


def invoke(interpreter: Any, what: str) -> None:
    """Computes the outputs from the inputs that were set.

    Args:
        interpreter: see ``open_interpreter``.
        what: names the network in messages.

    Raises:
        RunnerError: it cannot, as a damaged network may.
    """
    try:
        interpreter.invoke()
    except RunnerError:  # in our words already
        raise
    except (RuntimeError, ValueError) as error:
        raise RunnerError(_problem(what, str(error), find_runtime(), "")) from error


def is_older(name: str, version: str, needed: str) -> bool:
    """True where a runtime is known to be older than ``needed`` ("<package> <version>"; empty asks for nothing).

    tflite-runtime ended before ai-edge-litert began; other pairs of packages cannot be compared and pass.
    """
    needed_name, _, needed_version = needed.partition(" ")
    if name != needed_name:
        return (name, needed_name) == ("tflite-runtime", "ai-edge-litert")
    return version != UNKNOWN and _numbers(version) < _numbers(needed_version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _problem(what: str, message: str, runtime: LoadedRuntime, min_runtime: str) -> str:
    """One line out of the interpreter's own message."""
    found = _TOO_NEW.search(message)
    if found:
        needed = f", expected {min_runtime} or newer" if min_runtime else ""
        return (
            f"{what}: needs {found[1]} version {found[2]}, which this runtime ({runtime}) lacks{needed}; "
            "update it (fer-edge doctor prints the command) or take another variant with --variant"
        )
    return f"{what}: {runtime} cannot run it ({' '.join(message.split())[:200]}); rebuild or re-copy the bundle"


@contextlib.contextmanager
def _without_info_lines() -> Iterator[None]:
    """Keeps the native library's "INFO: Created TensorFlow Lite XNNPACK delegate" lines off stderr; others pass."""
    printed = bytearray()
    try:
        with captured(2) as printed:
            yield
    finally:
        lines = [line for line in printed.splitlines(keepends=True) if not line.startswith(b"INFO:")]
        if lines:
            os.write(2, b"".join(lines))
