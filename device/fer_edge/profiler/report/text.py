"""A measurement as lines for a terminal and as Markdown; ``facts`` are shared with the HTML page."""

from __future__ import annotations

from fer_edge.contract.bench import BenchDoc

MIB = 1024 * 1024


def computed_by(document: BenchDoc) -> str:
    """Package, version and provider: "onnxruntime 1.31.1 on CPU"."""
    runtime = document.runtime
    where = f" on {runtime.provider.removesuffix('ExecutionProvider')}" if runtime.provider else ""
    return f"{runtime.name} {runtime.version}{where}"


def facts(document: BenchDoc) -> list[tuple[str, str]]:
    """What stands beside the timings, as (name, text); only what was measured or read."""
    memory, power, precision = document.memory, document.power, document.precision
    rows = [
        ("board", f"{document.board}; {document.cpu}; governor {document.governor}"),
        ("runtime", f"{computed_by(document)}, {document.threads} thread(s)"),
        ("network", f"{document.model_id or 'bundle'} {document.variant}, bundle {document.bundle_sha256[:12]}"),
    ]
    if document.detector is not None:
        rows.append(("detector", document.detector))
    if document.power_mode is not None:
        rows.append(("power mode", document.power_mode))
    if precision is not None:
        rows.append(("repetitions", _repetitions(document)))
    else:
        rows.append(("repetitions", f"n = {document.n} after {document.warmup_n} warm-up"))
    if document.frame_age_ms:
        rows.append(("frame age", " ".join(f"{name} {ms:.1f}" for name, ms in document.frame_age_ms.items()) + " ms"))
    parts = [f"peak RSS {memory.peak_rss_bytes / MIB:.0f} MiB"]
    if memory.pss_bytes is not None:
        parts.append(f"PSS {memory.pss_bytes / MIB:.0f} MiB")
    if memory.network_bytes is not None:
        what = "the network" if document.mode == "model" else "detector and network"
        parts.append(f"{what} {memory.network_bytes / MIB:.1f} MiB")
    parts.append(f"file {memory.model_bytes / MIB:.1f} MiB")
    if memory.cma_used_bytes is not None and memory.cma_total_bytes is not None:
        parts.append(f"CMA {memory.cma_used_bytes / MIB:.0f} of {memory.cma_total_bytes / MIB:.0f} MiB used")
    rows.append(("memory", ", ".join(parts)))
    if power is None:
        rows.append(("power", f"not measured ({document.power_note})" if document.power_note else "not measured"))
    else:
        rows.append(("power", f"{power.mean_w:.2f} W, idle {power.idle_w:.2f} W; {power.probe}: {power.coverage}"))
        energy = f"{power.energy_mj_per_frame:.2f} mJ a frame"
        if power.net_mj_per_frame is not None:
            energy += f", {power.net_mj_per_frame:.2f} above idle"
        if power.energy_mj_per_inference is not None and document.mode != "model":
            energy += f"; {power.energy_mj_per_inference:.2f} mJ an inference"
        rows.append(("energy", energy))
        if power.gap_s:
            rows.append(("gaps", f"the probe gave nothing for {power.gap_s:.1f} s; that time is in no figure"))
    for name in ("temperature", "clock"):
        signal = document.series.get(name)
        if signal is not None:
            first, last = signal.values[0], signal.values[-1]
            rows.append(
                (name, f"{first:.0f} to {last:.0f} {signal.unit}, {min(signal.values):.0f} to {max(signal.values):.0f}")
            )
    if document.accuracy is not None:
        a = document.accuracy
        rows.append(
            ("accuracy", f"{a.accuracy:.2%} on {a.dataset} ({a.labels}), n = {a.n}, here, {a.n_dropped} dropped")
        )
    for m in document.metrics:
        what = f"{m.accuracy:.2%} on {m.dataset} ({m.labels}), n = {m.n}"
        rows.append(("accuracy", f"{what}, measured {m.measured}"))
    rows.append(("throttling", f"{document.throttled.before} before, {document.throttled.after} after"))
    return rows


def _repetitions(document: BenchDoc) -> str:
    precision = document.precision
    if precision is None:
        return ""
    text = f"n = {document.n} after {document.warmup_n} of warm-up ({precision.warmup})"
    if not precision.warmup_settled:
        text += ", which had not settled"
    text += f"; mean known to ±{precision.reached:.1%}"
    if precision.wanted is not None and precision.reached > precision.wanted:
        text += f", wanted ±{precision.wanted:.1%}: NOT reached, measure longer (--max-s)"
    return text + f"; {precision.n_outliers} far outliers kept"


def as_table(document: BenchDoc) -> str:
    """The document for the terminal."""
    lines = [f"{name:12} {text}" for name, text in facts(document)]
    lines.append(f"{'stage':10} {'mean':>8} {'±95%':>7} {'p50':>8} {'p90':>8} {'p95':>8} {'p99':>8}  ms")
    for name, t in document.stages.items():
        half = t.ci95_ms[1] - t.mean_ms
        lines.append(
            f"{name:10} {t.mean_ms:8.3f} {half:7.3f} {t.p50_ms:8.3f} {t.p90_ms:8.3f} {t.p95_ms:8.3f} {t.p99_ms:8.3f}"
        )
    lines.append(f"{document.fps:.1f} {'frames' if document.mode != 'model' else 'inferences'} a second")
    lines += [f"tainted: {reason}" for reason in document.tainted]
    return "\n".join(lines)


def as_soak(document: BenchDoc) -> str:
    """What changed between the beginning and the end of a long run: a tenth of it each."""
    headline = document.precision.headline if document.precision else next(reversed(document.stages))
    blocks = document.blocks.get(headline)
    if blocks is None or len(blocks.p50_ms) < 10:
        return "soak: too short to say what changed"
    tenth = len(blocks.p50_ms) // 10
    first, last = sum(blocks.mean_ms[:tenth]) / tenth, sum(blocks.mean_ms[-tenth:]) / tenth
    lines = [
        f"soak of {blocks.t_s[-1]:.0f} s: {1000 / first:.1f} a second in the first tenth, {1000 / last:.1f} in the "
        f"last ({first / last - 1:+.1%})"
    ]
    for name in ("temperature", "clock", "memory", "power"):
        signal = document.series.get(name)
        if signal is not None and len(signal.values) >= 10:
            part = len(signal.values) // 10
            a, b = sum(signal.values[:part]) / part, sum(signal.values[-part:]) / part
            lines.append(f"  {name}: {a:.1f} to {b:.1f} {signal.unit}, highest {max(signal.values):.1f}")
    lines.append(f"  throttling: {document.throttled.before} before, {document.throttled.after} after")
    return "\n".join(lines)


def as_markdown(document: BenchDoc) -> str:
    """The document as Markdown."""
    lines = [f"# {title(document)}", ""]
    lines += [f"- **{name}**: {text}" for name, text in facts(document)]
    lines += [f"- **tainted**: {reason}" for reason in document.tainted]
    lines += ["", "| stage | mean ms | 95% interval | p50 | p90 | p95 | p99 |", "|---|---|---|---|---|---|---|"]
    for name, t in document.stages.items():
        lines.append(
            f"| {name} | {t.mean_ms:.3f} | {t.ci95_ms[0]:.3f} to {t.ci95_ms[1]:.3f} | {t.p50_ms:.3f} | {t.p90_ms:.3f} "
            f"| {t.p95_ms:.3f} | {t.p99_ms:.3f} |"
        )
    lines += ["", f"{document.fps:.1f} a second."]
    return "\n".join(lines) + "\n"


def title(document: BenchDoc) -> str:
    """What was measured where."""
    what = {"model": "the network alone", "camera": "behind a camera"}.get(document.mode or "", "the whole pipeline")
    return f"{document.model_id or 'bundle'} {document.variant}, {what}, on {document.board}"
