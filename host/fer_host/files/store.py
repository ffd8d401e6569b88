"""The stages of a build on disk, ``build/<recipe>/NN-stage/``: made once, reused while nothing they depend on changed.

A stage is built in a temporary folder and renamed into place when complete, so a kill or a full disk leaves either the
whole stage or none.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from fer_host.errors import HostError
from fer_host.files.artifacts import digest_json, one_line_if_disk_full, sha256_tree, tool_versions, write_json

SCHEMA = "fer-edge/stage/1"
RECORD_NAME = "stage.json"
_TEMPORARY = ".tmp-"
_OURS = re.compile(r"\.tmp-(old-\.tmp-)?\d\d-.")


@dataclass(frozen=True)
class Stage:
    """What a stage's result depends on.

    Attributes:
        number: place in the build, from 1; sorts the folders.
        name: short, lower-case.
        version: raise it when the stage's own code changes its result.
        config: every option that changes the result, as JSON values.
        inputs: digests of the artifacts it reads, by role.
        tools: distributions whose version changes the result.
    """

    number: int
    name: str
    version: int = 1
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    tools: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """``03-saved-model``."""
        return f"{self.number:02d}-{self.name}"

    @property
    def key(self) -> str:
        """sha256 over everything the result depends on; its number is not part of it."""
        return digest_json({name: value for name, value in self._document().items() if name != "number"})

    def _document(self) -> dict[str, Any]:
        plain = {**asdict(self), "config": dict(self.config), "inputs": dict(self.inputs)}
        return {**plain, "tools": tool_versions(self.tools)}


@dataclass(frozen=True)
class StageResult:
    """A complete stage.

    Attributes:
        name: the stage's folder name, ``03-saved-model``.
        path: the folder.
        sha256: digest of what it holds; the next stage's input.
        files: digest of each file, by relative path.
        reused: True where it was there already.
        seconds: wall time of making or checking it now.
    """

    name: str
    path: Path
    sha256: str
    files: dict[str, str]
    reused: bool
    seconds: float


class Store:
    """One build folder, held by one process: ``with Store(Path("build/hawqc_mbv2")) as store``.

    Args:
        root: the folder; made if absent.
        wait: wait for another process that is building there, for folders that several builds share.

    Raises:
        HostError: another process is building there, and ``wait`` is False.
    """

    def __init__(self, root: Path, wait: bool = False) -> None:
        self.root = root
        self._mode = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
        self._lock: BinaryIO | None = None

    def __enter__(self) -> Store:
        with one_line_if_disk_full(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            self._lock = (self.root / ".lock").open("ab")
        try:
            fcntl.flock(self._lock, self._mode)
        except BlockingIOError as error:
            self._lock.close()
            raise HostError(f"{self.root}: another fer-host is building there; wait for it") from error
        for left_over in self.root.glob(f"{_TEMPORARY}*"):  # of a killed build: the lock says nobody works in it
            if _OURS.match(left_over.name):
                shutil.rmtree(left_over, ignore_errors=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()  # the kernel also drops the lock of a killed process

    def log(self, stage: Stage) -> Path:
        """Where a stage's tool writes what it prints; survives a failure, unlike the stage's folder."""
        return self.root / "logs" / f"{stage.folder}.log"

    def run(self, stage: Stage, build: Callable[[Path], None]) -> StageResult:
        """Returns the stage, made now if it is not there, incomplete, damaged or out of date.

        Args:
            stage: what the result depends on.
            build: writes the result into the empty folder it is given; an exception discards all of it.

        Raises:
            HostError: no space left; or whatever ``build`` raises.
        """
        if self._lock is None or self._lock.closed:
            raise RuntimeError("Store.run outside of its `with` block")
        started, target, key = time.monotonic(), self.root / stage.folder, stage.key
        files = _complete_files(target, key)
        reused = files is not None
        if files is None:
            with one_line_if_disk_full(target):
                files = self._make(stage, key, target, build)
        return StageResult(stage.folder, target, digest_json(files), files, reused, time.monotonic() - started)

    def _make(self, stage: Stage, key: str, target: Path, build: Callable[[Path], None]) -> dict[str, str]:
        temporary = Path(tempfile.mkdtemp(prefix=f"{_TEMPORARY}{stage.folder}-", dir=self.root))
        try:
            temporary.chmod(0o755)
            build(temporary)
            files = sha256_tree(temporary)
            if not files:
                raise RuntimeError(f"stage {stage.folder} wrote nothing")
            write_json(
                temporary / RECORD_NAME, {"schema": SCHEMA, "key": key, "made_from": stage._document(), "files": files}
            )
            if target.exists() and not (target / RECORD_NAME).is_file():
                raise HostError(f"{target}: is there and holds no {RECORD_NAME}; not made here: move it away")
            if target.exists():  # out of date: a folder cannot be renamed over one that has files
                os.rename(target, self.root / f"{_TEMPORARY}old-{temporary.name}")
            os.rename(temporary, target)
        finally:
            for scrap in (temporary, self.root / f"{_TEMPORARY}old-{temporary.name}"):
                shutil.rmtree(scrap, ignore_errors=True)
        return files


def _complete_files(folder: Path, key: str) -> dict[str, str] | None:
    """Digests of a stage's files if it was made from the same things and every byte is still there; else None."""
    record: Any = None
    with contextlib.suppress(OSError, ValueError):
        record = json.loads((folder / RECORD_NAME).read_bytes())
    if not isinstance(record, dict) or record.get("schema") != SCHEMA or record.get("key") != key:
        return None
    found = {name: digest for name, digest in sha256_tree(folder).items() if name != RECORD_NAME}
    return found if found == record.get("files") else None
