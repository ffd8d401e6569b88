"""For all tests: one thread a process, because pytest runs one process a core, and threads of several spin against
each other (two processes of two threads each on two cores took ten times as long).
"""

from __future__ import annotations

import os
import signal

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
