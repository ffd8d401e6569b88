"""For all tests: one thread a process, because pytest runs one process a core, and threads of several spin against
each other (two processes of two threads each on two cores took ten times as long).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Nothing is timed in a test, and a run tries what the run before tried; --hypothesis-profile=default tries others.
settings.register_profile("fer-edge", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fer-edge")

for _name in (  # read when the libraries are loaded; children inherit them
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OPENCV_FOR_THREADS_NUM",
):
    os.environ.setdefault(_name, "1")

# A shell that starts the tests in the background has them ignore Ctrl-C, and all programs they start as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


Unchanged = Callable[[], list[str]]


@pytest.fixture(params=["files", "links"])
def beside(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Unchanged]:
    """Puts what others may have beside a file that is to be made, with names like those a program may make up.

    Gives a function that names those that are no longer as they were: files, or links to a file elsewhere, which who
    writes through them changes.
    """

    def put(target: Path) -> Unchanged:
        name, pid = target.name, os.getpid()
        like_ours = (f"{name}.tmp", f".{name}.tmp", f"{name}.new", f".{name}.new", f"{name}.old", f"{name}~")
        like_ours += (f".{name}.{pid}", f".{name}.{pid}.tmp", f"{name}.{pid}.tmp", f".{name}.0123abcd.tmp")
        like_ours += (".tmp-theirs", "notes.txt", f"{target.stem}.txt", f"{name}2", f"a{name}")
        theirs = tmp_path_factory.mktemp("elsewhere") / "theirs"
        theirs.write_text("theirs")
        target.parent.mkdir(parents=True, exist_ok=True)
        for other in like_ours:
            if request.param == "links":
                (target.parent / other).symlink_to(theirs)
            else:
                (target.parent / other).write_text("theirs")

        def changed() -> list[str]:
            gone = [str(path) for path in (target.parent / other for other in like_ours) if not _theirs(path)]
            return gone + ([] if theirs.read_text() == "theirs" else [str(theirs)])

        def _theirs(path: Path) -> bool:
            return path.is_file() and path.is_symlink() == (request.param == "links") and path.read_text() == "theirs"

        return changed

    return put
