"""What was recorded, as a plot, a table and a document."""

from __future__ import annotations

import json
import platform
import statistics
from pathlib import Path
from typing import Any

from longlife.plan import LOSSES, LOST_S
from longlife.verdict import Verdict, compared, judge, rate
from longlife.watch import records
from written import write

PANELS = (
    ("memory, MB", (("rss_bytes", "resident"), ("pss_bytes", "proportional"), ("anon_bytes", "anonymous")), 1e-6),
    ("descriptors, threads", (("fds", "descriptors"), ("threads", "threads")), 1.0),
    ("frame age, ms", (("age_s", "newest frame"),), 1e3),
    ("frames/s", (("fps", "read"),), 1.0),
)
COLORS = {"broker": "tab:purple", "camera": "tab:red", "clock": "tab:green", "disk": "tab:brown"}


def read(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """Samples, events, facts and end of a run; the end is empty where it was cut short."""
    ending, facts = folder / "end.json", json.loads((folder / "facts.json").read_text())
    end = json.loads(ending.read_text()) if ending.exists() else {}
    return records(folder / "samples.jsonl"), records(folder / "events.jsonl"), facts, end


def report(folder: Path, results: Path) -> bool:
    """Writes .md, .json (its tables), .jsonl (its curves) and .png; True where all promises were kept."""
    samples, events, facts, end = read(folder)
    verdicts = judge(samples, events, end)
    minutes = samples[-1]["t_s"] / 60 if samples else 0.0
    write(results.with_suffix(".md"), page(samples, facts, end, verdicts, results.name, minutes))
    few = [thinned(s) for s in samples[:: max(1, len(samples) // 240)]]
    results.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in few))
    if samples:
        plot(samples, events, results.with_suffix(".png"))
    return all(v.kept for v in verdicts)


def thinned(sample: dict[str, Any]) -> dict[str, Any]:
    """What the plot needs."""
    return {
        key: sample[key] for key in ("t_s", "rss_bytes", "pss_bytes", "anon_bytes", "fds", "threads", "age_s", "frames")
    }


def page(
    samples: list[dict[str, Any]],
    facts: dict[str, Any],
    end: dict[str, Any],
    verdicts: list[Verdict],
    name: str,
    minutes: float,
) -> str:
    """The table, with how it was measured."""
    ran = f"{minutes:.0f} of {facts['hours'] * 60:.0f} minutes" + ("" if end else " (cut short)")
    text = f"# Long life\n\nWritten by `benchmarks/long_life.py`, which ran for {ran}; commit {facts['commit']}, "
    text += f"{facts['machine']}.\n\n"
    if samples:
        per_s = rate(samples, lambda s: s["frames"])
        text += f"{samples[-1]['frames']:.0f} frames at {per_s:.0f}/s of {facts['fps']:g}/s sent, "
        text += f"{samples[-1]['heard']:.0f} messages over MQTT, {len(samples)} samples. {facts['world']} "
        share, load = rate(samples, lambda s: s["cpu_s"]), statistics.fmean(s["load"] for s in samples)
        text += f"The machine's load was {load:.0f} on average, and fer-edge had {share:.0%} of one core.\n\n"
    text += "| promise | found | kept |\n|---|---|---|\n"
    text += "".join(f"| {v.promise} | {v.found} | {'yes' if v.kept else '**no**'} |\n" for v in verdicts)
    if len(samples) >= 8:
        a, b = compared(samples, "pss_bytes")
        text += f"\nProportional memory went from {a / 1e6:.1f} to {b / 1e6:.1f} MB.\n"
    if end.get("complaints"):
        text += f"\nThe browser complained {len(end['complaints'])} times, first: {end['complaints'][0]}\n"
    return text + f"\n![memory, descriptors, threads, frame age over time]({name}.png)\n"


def plot(samples: list[dict[str, Any]], events: list[dict[str, Any]], path: Path) -> None:
    """One panel per kind of figure, the losses as bands."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    for before, now in zip([samples[0], *samples], samples, strict=False):
        seconds = now["t_s"] - before["t_s"]
        now["fps"] = (now["frames"] - before["frames"]) / seconds if seconds else None
    figure, axes = pyplot.subplots(len(PANELS), sharex=True, figsize=(11, 9), constrained_layout=True)
    minutes = [s["t_s"] / 60 for s in samples]
    for axis, (title, lines, factor) in zip(axes, PANELS, strict=True):
        for key, label in lines:
            values = [float("nan") if s[key] is None else s[key] * factor for s in samples]
            axis.plot(minutes, values, label=label, linewidth=1)
        for loss in LOSSES:
            at = [e["t_s"] / 60 for e in events if e["kind"] == loss.name]
            for t in at:
                axis.axvspan(t, t + LOST_S / 60, color=COLORS[loss.name], alpha=0.15, linewidth=0)
        axis.set_ylabel(title)
        axis.grid(alpha=0.3)
        axis.legend(loc="upper right", fontsize=8)
    axes[2].set_yscale("log")
    axes[0].set_title(
        "fer-edge run: " + ", ".join(f"{name} ({color[4:]})" for name, color in COLORS.items()), fontsize=9
    )
    axes[-1].set_xlabel(f"minutes ({platform.machine()})")
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
