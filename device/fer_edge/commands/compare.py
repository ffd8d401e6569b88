"""``fer-edge compare``: is B faster or slower than A, or can they not tell?"""

from __future__ import annotations

import argparse

from fer_edge.contract import bench as schema
from fer_edge.contract.regular import read_regular
from fer_edge.errors import SchemaError, UsageError
from fer_edge.profiler.compare import compare, format_comparison


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; gives the exit status."""
    documents = []
    for path in (arguments.a, arguments.b):
        try:
            documents.append(schema.loads(read_regular(path)))
        except SchemaError as error:
            raise UsageError(f"{path}: {error}") from error
    a, b = documents
    found = compare(a, b, arguments.stage, arguments.level, arguments.margin, arguments.across_boards)
    print(format_comparison(found))
    return int(found.verdict == "slower")
