"""Where the time of a frame goes, of this revision and of an earlier one by turns; and against the ``fer`` package.

git worktree add /tmp/earlier ea36113
python benchmarks/frame.py dist/hawqc_mbv2 ../shared/data /tmp/earlier [EARLIER_BUNDLE]   (.venv; writes
benchmarks/results/frame.md; with build/peers/fer, see peers.py, the fer package is asked too)

CPU time of the thread for the parts, wall and CPU time of all threads for whole frames: others use this machine too.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

from clips import machine
from contestant import Contestant
from fer_edge.profiler import interference
from peers import VENVS
from written import write

HERE = Path(__file__)
CLIP = "head-pose-face-detection-male.mp4"
N_FRAMES, TURN, ROUNDS = 60, 6, 3
WHO = ("earlier", "now", "now, int8 detector")
KINDS = {"fer-edge": "every frame a photo", "fer-edge-every": "every frame searched", "fer-edge-run": "as fer-edge run"}


def main() -> int:
    """Writes the page; status 1 where a goal is missed."""
    bundle, data, earlier = (Path(argument).resolve() for argument in sys.argv[1:4])
    earlier_bundle = Path(sys.argv[4]).resolve() if len(sys.argv) > 4 else bundle
    python, before = Path(sys.executable), interference.look()
    children = {}
    for kind in KINDS:
        children["earlier", kind] = Contestant(python, kind, earlier_bundle, earlier / "device")
        children["now", kind] = Contestant(python, kind, bundle, HERE.parents[1] / "device")
        children["now, int8 detector", kind] = Contestant(python, f"{kind}.int8", bundle, HERE.parents[1] / "device")
    fer = VENVS / "fer" / "bin" / "python"
    if fer.exists():
        children["fer", "fer-tflite"] = Contestant(fer, "fer-tflite", bundle, None)
    for child in children.values():
        child.ask("load", str(data / "videos" / CLIP), N_FRAMES)
        child.ask("frames", 0, TURN)
    whole: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in children}
    for _ in range(ROUNDS):
        for first in range(0, N_FRAMES - TURN + 1, TURN):
            for key, child in children.items():
                wall, _, cpu = child.ask("frames", first, first + TURN)
                whole[key].append((1000 * wall / TURN, 1000 * cpu / TURN))
    parts: dict[tuple[str, str], list[dict[str, float]]] = {key: [] for key in children if key[0] != "fer"}
    for _ in range(ROUNDS):
        for first in range(0, N_FRAMES - TURN + 1, TURN):
            for key in parts:
                parts[key].append(children[key].ask("parts", first, first + TURN))
    for child in children.values():
        child.close()
    found = {
        key: {part: _median(row.get(part, 0.0) for row in rows) for part in _names(rows)} for key, rows in parts.items()
    }
    text, missed = _markdown(whole, found, interference.judge(before, interference.look()))
    write(HERE.parent / "results" / "frame.md", text)
    print(text)
    return int(bool(missed))


def _names(rows: list[dict[str, float]]) -> list[str]:
    return list(dict.fromkeys(part for row in rows for part in row))


def _median(values: Any) -> float:
    return statistics.median(values)


def _markdown(
    whole: dict[tuple[str, str], list[tuple[float, float]]],
    parts: dict[tuple[str, str], dict[str, float]],
    reasons: tuple[str, ...],
) -> tuple[str, list[str]]:
    lines = [
        "# Where the time of a frame goes",
        "",
        f"`python benchmarks/frame.py dist/hawqc_mbv2 ../shared/data EARLIER`, {machine()}; EARLIER is revision "
        f"ea36113 with its bundle. {N_FRAMES} frames of {CLIP} (480x270), each {ROUNDS} times, by turns of {TURN}; "
        "medians.",
        "",
    ]
    for kind, words in KINDS.items():
        columns = [parts[who, kind] for who in WHO]
        lines += [
            f"## {words}: CPU ms a frame of the thread",
            "",
            "| part | " + " | ".join(WHO) + " |",
            "|---|---|---|---|",
        ]
        for part in dict.fromkeys(part for column in columns for part in column):
            lines.append(f"| {part} | " + " | ".join(f"{column.get(part, 0.0):.3f}" for column in columns) + " |")
        lines += ["| all | " + " | ".join(f"{sum(column.values()):.3f}" for column in columns) + " |", ""]
    lines += ["## Whole frames, ms", "", "| | wall | CPU, all threads | frames a second |", "|---|---|---|---|"]
    for (who, kind), rows in whole.items():
        wall, cpu = _median(row[0] for row in rows), _median(row[1] for row in rows)
        lines.append(f"| {who}, {KINDS.get(kind, 'quantized tflite')} | {wall:.2f} | {cpu:.2f} | {1000 / wall:.0f} |")
    checks = _checks(whole, parts)
    lines += ["", "## Goals", "", "| goal | measured | met |", "|---|---|---|"]
    missed = []
    for words, value, bar, more in checks:
        met = value >= bar if more else value <= bar
        missed += [] if met else [words]
        lines.append(f"| {words} | {value:.2f} | {'yes' if met else '**no**'} |")
    lines += ["", *(f"Tainted: {reason}." for reason in reasons)]
    return "\n".join(lines) + "\n", missed


def _checks(
    whole: dict[tuple[str, str], list[tuple[float, float]]], parts: dict[tuple[str, str], dict[str, float]]
) -> list[tuple[str, float, float, bool]]:
    def detection(who: str, kind: str) -> float:
        detecting = ("detector", "network: detector", "cv2")
        return sum(ms for part, ms in parts[who, kind].items() if part.startswith(detecting))

    def outside(who: str, kind: str) -> float:
        networks = sum(ms for part, ms in parts[who, kind].items() if part.startswith("network"))
        return 1 - networks / sum(parts[who, kind].values())

    checks = []
    for who in WHO[1:]:
        for kind in ("fer-edge", "fer-edge-every"):
            ratio = detection(who, kind) / detection("earlier", kind)
            checks.append((f"{who}, {KINDS[kind]}: detection at most 0.6 of the earlier time", ratio, 0.6, False))
        for kind in KINDS:
            words = f"{who}, {KINDS[kind]}: outside the networks at most 0.25 of the frame"
            checks.append((words, outside(who, kind), 0.25, False))
        for column, unit in ((0, "frames a second"), (1, "frames per CPU second")):
            other = _median(row[column] for row in whole.get(("fer", "fer-tflite"), []) or [(0.0, 0.0)])
            for kind, least in (("fer-edge", 3.0), ("fer-edge-every", 3.0), ("fer-edge-run", 7.0)):
                ratio = other / _median(row[column] for row in whole[who, kind])
                checks.append((f"{who}, {KINDS[kind]}: at least {least:g} times fer's {unit}", ratio, least, True))
    return checks


if __name__ == "__main__":
    sys.exit(main())
