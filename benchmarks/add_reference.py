"""Adds measurements to benchmarks/reference/<board>.json, if they obey the rule in ``fer_edge.contract.reference``.

python benchmarks/add_reference.py BENCH.json …      (files of fer-edge bench --out FILE.json)
"""

from __future__ import annotations

import sys
from pathlib import Path

from fer_edge.contract import bench, reference
from fer_edge.contract.errors import EdgeError
from fer_edge.profiler.report import write_text

FOLDER = Path(__file__).parent / "reference"


def main() -> int:
    try:
        for path in map(Path, sys.argv[1:]):
            entry = bench.loads(path.read_bytes())
            problem = reference.why_not(entry)
            if problem:
                print(f"{path}: {problem}", file=sys.stderr)
                return 2
            target = FOLDER / reference.file_name(entry)
            old = reference.loads(target.read_bytes()).entries if target.is_file() else ()
            kept = [other for other in old if reference.key_of(other) != reference.key_of(entry)]
            entries = sorted((*kept, entry), key=lambda one: tuple(map(str, reference.key_of(one))))
            FOLDER.mkdir(exist_ok=True)
            write_text(target, reference.dumps(reference.ReferenceDoc(entry.board, entry.cpu, tuple(entries))))
            print(f"{target}: {len(entries)} entries")
    except (EdgeError, OSError) as error:
        print(f"add_reference: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
