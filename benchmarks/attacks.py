"""What was tried against the programs beside fuzzing, by hand: results/attacks.json, told in docs/fuzz.md.

.venv-device/bin/python benchmarks/attacks.py token                   the time that wrong tokens take
.venv-device/bin/python benchmarks/attacks.py browsers BUNDLE         eight tabs of a real Chromium for a minute
.venv-device/bin/python benchmarks/attacks.py memory BUNDLE PHOTO     limits of addresses, and (as root) a cgroup
.venv/bin/python benchmarks/attacks.py conversion MODEL               as root: Ctrl-C and a full disk in every stage
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "device"), str(ROOT / "benchmarks")]
RESULTS = ROOT / "benchmarks" / "results" / "attacks.json"
SCHEMA = "fer-edge/attacks/1"
LIMITS_MB = (60, 80, 100, 150, 200, 250, 300, 350, 400, 600)
CGROUPS = Path("/sys/fs/cgroup/memory")  # version 1, where this machine lets us make one
TABS, WATCHED_S = 8, 60.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("token", "browsers", "memory", "conversion"))
    parser.add_argument("arguments", nargs="*")
    arguments = parser.parse_args()
    found = globals()[arguments.what](*arguments.arguments)
    print(json.dumps(found, indent=1))
    known = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"schema": SCHEMA}
    RESULTS.write_text(json.dumps(known | {arguments.what: found}, indent=1) + "\n")
    return int(bool(found.get("faults")))


def token(n: str = "100000") -> dict[str, Any]:
    """Time of a comparison with tokens that are wrong in different ways, in turn; medians in ns."""
    from fer_edge.sinks.web.guard import Token

    right = Token("correct-horse-battery-staple-0123")
    text = right.text
    given = {"first wrong": "X" + text[1:], "last wrong": text[:-1] + "X", "half as long": text[:16], "right": text}
    times: dict[str, list[int]] = {name: [] for name in given}
    order = [name for name in given for _ in range(int(n))]
    random.Random(1).shuffle(order)
    for name in order:
        started = time.perf_counter_ns()
        right.matches(given[name])
        times[name].append(time.perf_counter_ns() - started)
    medians = {name: statistics.median(each) for name, each in times.items()}
    spread = {
        name: statistics.quantiles(each, n=4)[2] - statistics.quantiles(each, n=4)[0] for name, each in times.items()
    }
    return {"n_each": int(n), "median_ns": medians, "quartiles_apart_ns": spread}


def browsers(bundle: str) -> dict[str, Any]:
    """Eight tabs watch the page of a running fer-edge: who gets a picture, what the others are told, what it costs."""
    import web_helpers as helpers
    from browser_helpers import chromium

    line = ("run", "--source", "synthetic://?fps=10", "--bundle", bundle, "--web", "--web-port", "0")
    faults: list[str] = []
    with helpers.fer_edge(*line) as (program, address), chromium() as browser:
        process = Path(f"/proc/{program.process.pid}/status")
        before = _memory_mb(process)
        browser.set_page_load_timeout(60)
        for number in range(TABS):
            if number:
                browser.switch_to.new_window("tab")
            with contextlib.suppress(Exception):  # a page that does not load is seen below
                browser.get(address)
        started = time.monotonic()
        while time.monotonic() - started < WATCHED_S:
            for tab in browser.window_handles:
                browser.switch_to.window(tab)
                time.sleep(0.5)
        shown = "const p = document.getElementById('picture'); return Boolean(p && !p.hidden && p.naturalWidth)"
        tabs = []
        for tab in browser.window_handles:
            browser.switch_to.window(tab)
            time.sleep(2)
            said = "return (document.getElementById(arguments[0]) || {textContent: 'no page'}).textContent"
            says = [str(browser.execute_script(said, id)).strip()[:100] for id in ("badge", "problem")]
            tabs.append({"picture": bool(browser.execute_script(shown)), "badge": says[0], "problem": says[1]})
        state = json.loads(helpers.ask(int(address.split(":")[2].strip("/")), "GET", "/api/status")[2])
        fps = state["status"]["fps"]
        after = _memory_mb(process)
        if program.process.poll() is not None:
            faults.append("the program has ended")
        said = [line for line in program.lines if "Traceback" in line or "rror" in line]
    return {"tabs": tabs, "memory_mb": [before, after], "fps": round(fps, 1), "said": said, "faults": faults + said}


def _memory_mb(status: Path) -> float:
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1000, 1)


def memory(bundle: str, photo: str) -> dict[str, Any]:
    """A photo and a minute of frames under limits: done, refused in a line, or killed with whole lines written."""
    faults: list[str] = []
    program = [sys.executable, "-m", "fer_edge.cli"]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "out.jsonl"
        commands = {
            "image": [*program, "image", photo, "--bundle", bundle, "--jsonl", str(lines)],
            "run": [*program, "run", "--source", "synthetic://?n=200", "--bundle", bundle, "--jsonl", str(lines)],
            "verify": [*program, "verify", "--bundle", bundle],
        }
        for name, command in commands.items():
            for limit_mb in LIMITS_MB:
                for how in ("addresses", "cgroup"):
                    lines.unlink(missing_ok=True)
                    with _limited(how, limit_mb) as prefix:
                        if prefix is None:
                            continue
                        try:
                            done = subprocess.run(
                                [*prefix, *command], capture_output=True, text=True, check=False, timeout=120,
                                env=environment,
                            )  # fmt: skip
                            status, said = done.returncode, done.stderr.strip().splitlines()
                        except subprocess.TimeoutExpired:
                            status, said = -1000, ["no end in 120 s"]
                    written = lines.read_text().splitlines() if lines.is_file() else []
                    whole = all(_is_json(line) for line in written)
                    rows.append([name, how, limit_mb, status, len(said), said[-1][:160] if said else "", len(written)])
                    is_clean = (
                        status in (0, 3) or (status == 2 and len(said) <= 2) or (how == "cgroup" and status == -9)
                    )
                    if not is_clean or not whole:
                        faults.append(
                            f"{name} under {limit_mb} MB of {how}: status {status}, {said[-1:]}, whole: {whole}"
                        )
    return {
        "columns": ["command", "limit", "MB", "status", "lines", "last line", "readings"],
        "rows": rows,
        "faults": faults,
    }


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


@contextlib.contextmanager
def _limited(how: str, limit_mb: int) -> Iterator[list[str] | None]:
    if how == "addresses":
        yield ["prlimit", f"--as={limit_mb * 1_000_000}"]
        return
    group = CGROUPS / f"fer-edge-attacks-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(limit_mb * 1_000_000))
    except OSError:
        yield None
        return
    try:
        yield ["sh", "-c", f'echo $$ >"{group}/cgroup.procs" && exec "$@"', "limited"]
    finally:
        time.sleep(0.2)
        group.rmdir()


def conversion(model: str = "fer48", attacks: str = "Ctrl-C,full disk") -> dict[str, Any]:
    """Ctrl-C, then a full disk, in every stage: one line, nothing half-written, and the next run goes on from there."""
    faults: list[str] = []
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600m", "tmpfs", folder], check=True)
        try:
            (folder / "tmp").mkdir()
            for attack in attacks.split(","):
                subprocess.run(["rm", "-rf", folder / "build", folder / "dist"], check=True)
                for number in range(1, 12):
                    row = _attacked(folder, model, attack, number)
                    if row is None:
                        break
                    rows.append([attack, *row[0]])
                    print(rows[-1], row[1], file=sys.stderr)
                    faults += [f"{attack} in stage {number}: {fault}" for fault in row[1]]
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
    return {"model": model, "columns": ["attack", "stage", "status", "says"], "rows": rows, "faults": faults}


def _attacked(folder: Path, model: str, attack: str, number: int) -> tuple[list[Any], list[str]] | None:
    """Attacks a run when the stage of this number begins; None where there is none. What came of it, and faults."""
    line = [sys.executable, "-m", "fer_host.cli", "convert", model, "--quiet"]
    environment = os.environ | {"TMPDIR": str(folder / "tmp"), "PYTHONPATH": f"{ROOT / 'host'}:{ROOT / 'device'}"}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored
    filler, store, seen = folder / "filler", folder / "build" / model, ""
    process = subprocess.Popen(
        line, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while process.poll() is None:
        begun = sorted(store.glob(f".tmp-{number:02d}-*")) if store.is_dir() else []
        if begun and not seen:
            seen = begun[0].name.removeprefix(".tmp-").rpartition("-")[0]
            if attack == "Ctrl-C":
                time.sleep(0.3)
                os.killpg(process.pid, signal.SIGINT)
            else:
                free = os.statvfs(folder)
                with contextlib.suppress(OSError), filler.open("wb") as file:
                    for _ in range(free.f_bavail * free.f_frsize // 65_536 + 1):
                        file.write(bytes(65_536))
        time.sleep(0.005)
    said = (process.stderr.read() if process.stderr else "").strip().splitlines()
    filler.unlink(missing_ok=True)
    if not seen:
        return None
    faults = []
    if process.returncode != (130 if attack == "Ctrl-C" else 2):
        faults.append(f"status {process.returncode}")
    if len(said) != 1:
        faults.append(f"{len(said)} lines: {said[-1:]}")
    faults += [f"left: {path.name}" for path in store.glob(".tmp-*")]
    faults += [
        f"left in TMPDIR: {path.name}" for path in (folder / "tmp").iterdir() if path.name != ".ses"
    ]  # onnxruntime's
    faults += [f"half a bundle: {path}" for path in (folder / "dist").glob("*")] if (folder / "dist").is_dir() else []
    stages = Counter(path.name[:2] for path in store.glob("[0-9][0-9]-*"))
    if set(stages) != {f"{n:02d}" for n in range(1, number)}:
        faults.append(f"stages {sorted(stages)} are there, expected those before {number}")
    for path in (folder / "tmp").iterdir():
        subprocess.run(["rm", "-rf", path], check=True)
    return [seen, process.returncode, said[-1][:200] if said else ""], faults


if __name__ == "__main__":
    sys.exit(main())
