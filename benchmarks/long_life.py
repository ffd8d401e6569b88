"""Does it live on? Hours at full speed, everything around it going away again and again; a plot and a verdict.

.venv-device/bin/python benchmarks/long_life.py --hours 2 --out build/long-life
    (as root, for a small tmpfs; needs mosquitto, chromium, chromium-driver and gcc)
.venv/bin/python benchmarks/long_life.py --report build/long-life
    writes results/long_life.{md,json,jsonl,png} of a run, also of one that still runs or was cut short

A network camera with faces, read as fast as it goes; the page is watched by Chromium, metrics are scraped, mosquitto
passes on what is published. Every five minutes the broker is killed, the camera loses its power, the wall clock jumps
(of this process alone: longlife/wall_clock.c) and the disk is full; every minute a photo is uploaded, the configuration
is reloaded and the browser is asked what it sees.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from longlife.life import Life
from longlife.page import report

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "long_life"


def main() -> int:
    """Runs, and reports; status 1 where a promise was not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "long-life", help="folder of what is recorded")
    parser.add_argument("--report", type=Path, metavar="DIR", help="of a run that was recorded, and no new one")
    parser.add_argument("--results", type=Path, default=RESULTS, help="of the report, without .json, .md and .png")
    parser.add_argument("--bundle", type=Path, default=ROOT / "dist" / "hawqc_mbv2")
    parser.add_argument("--photos", type=Path, default=ROOT / "build" / "photos", help="of fer-host sample-photo DIR")
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--fps", type=float, default=150.0, help="that the camera sends; more than are read")
    parser.add_argument(
        "--daemon-nice", type=int, default=0, help="of daemon, camera and broker on a machine that others use too"
    )
    parser.add_argument("--hurry", type=float, default=1.0, help="so many times as many losses, for a dry run")
    arguments = parser.parse_args()
    if arguments.report:
        return int(not report(arguments.report, arguments.results))
    if os.geteuid():
        parser.error("needs root, for a small tmpfs; sudo …")
    if not (arguments.photos / "astronaut.png").is_file():
        parser.error(f"no {arguments.photos}/astronaut.png; .venv/bin/fer-host sample-photo {arguments.photos}")
    out: Path = arguments.out.resolve()
    if out.exists() and any(out.iterdir()):
        parser.error(f"{out} is not empty; expected a new folder: a run is never added to another")
    out.mkdir(parents=True, exist_ok=True)
    facts = {
        "hours": arguments.hours,
        "fps": arguments.fps,
        "hurry": arguments.hurry,
        "commit": _said("git", "rev-parse", "--short", "HEAD"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, shared; "
        f"the daemon, its camera and broker at nice {arguments.daemon_nice}, "
        f"browser and harness at {os.nice(0)}",
        "world": "RTSP over TCP, mosquitto, Chromium on the page, jsonl and CSV on a small tmpfs; "
        "the wall clock of this process alone is moved (longlife/wall_clock.c, preloaded).",
    }
    (out / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    life_of = (arguments.bundle.resolve(), arguments.photos, arguments.fps, arguments.daemon_nice)
    with contextlib.closing(Life(out, *life_of)) as life:
        end = life.live(arguments.hours * 3600, arguments.hurry, ended)
    (out / "end.json").write_text(json.dumps(end, indent=1) + "\n")
    print(f"long_life: ended after {time.monotonic() - life.began_s:.0f} s; {end}", flush=True)
    # the plot needs the host's environment, the browser the device's
    command = [ROOT / ".venv/bin/python", __file__, "--report", out, "--results", arguments.results]
    return subprocess.run(list(map(str, command)), check=False).returncode


def _said(*line: str) -> str:
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
