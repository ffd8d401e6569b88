"""Every bound of what comes from outside, each with its reason: the one place for both programs.

Bytes, px, items and seconds that files, bundles, cameras, visitors, brokers and the machine may take of us. Settings
have theirs where they are defined (``contract.limits``). A name ends in its unit; docs/bounds.md is made
from this file.
"""

from __future__ import annotations

# -- a bundle

MANIFEST_BYTES = 4_000_000  # that are parsed; the largest of ours has 130 kB
BUNDLE_FILES = 256  # that a manifest lists; ours have 12 to 20
BUNDLE_FILE_BYTES = 1 << 28  # of one of them, also decoded; a board's memory bounds what a network can be
BUNDLE_BYTES = 1 << 30  # of all of them, which are read for their digests at every start; ours have 20 MB

# -- a bundle that is tried: its first load, and verify --untrusted

TRIAL_MEMORY_BYTES = 512 << 20  # of the child: all of hawqc_mbv2 takes 115 MB, most of it libraries
TRIAL_CPU_S = 60  # of a first load; 1.3 s on a PC, a Zero 2 W is some 20 times slower
TRIAL_WALL_S = 150.0  # of a first load: the libraries come from a slow card; the unit gives a start 240 s
VERIFY_CPU_S = 1200  # of verify --untrusted, whose reference kernels are plain loops
VERIFY_WALL_S = 1800.0  # likewise, beside a service that runs
ARCHIVE_ENTRIES = 10_000  # of a packed bundle; ours have about 30, with all wheels 60
ARCHIVE_BYTES = 2 << 30  # of a packed bundle's files, unpacked; with all wheels ours have 0.4 GB
ANSWER_BYTES = 1 << 20  # that a child may print
