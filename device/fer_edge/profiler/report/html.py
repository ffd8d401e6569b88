"""A measurement as one page that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import html

from fer_edge.contract.bench import BenchDoc, Histogram, Signal
from fer_edge.profiler.report.svg import Plot
from fer_edge.profiler.report.text import facts, title

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1f2933;max-width:700px;margin:24px auto;padding:0 16px}
h1{font-size:21px;line-height:1.3}h2{font-size:16px;margin:26px 0 4px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
td,th{padding:3px 8px;text-align:right;border-bottom:1px solid #e6e9ed}td:first-child,th:first-child{text-align:left}
.facts td{text-align:left;vertical-align:top}.facts td:first-child{white-space:nowrap;color:#5b6670}
.taint{background:#fff4e0;border-left:4px solid #e69500;padding:6px 12px;margin:12px 0}
svg{width:100%;height:auto;display:block}footer{color:#5b6670;font-size:13px;margin-top:28px}
td,h1{overflow-wrap:anywhere}.wide{overflow-x:auto}
.stages td{white-space:nowrap}
@media(max-width:560px){table{font-size:11.5px}td,th{padding:3px}.stages td:nth-child(3){white-space:normal}
.facts td:first-child{white-space:normal}.wide svg{min-width:560px}}
"""
_NAMES = {
    "fps": "Repetitions a second",
    "temperature": "Temperature (hottest zone)",
    "clock": "Clock",
    "memory": "Memory (resident)",
    "power": "Power",
}


def as_html(document: BenchDoc) -> str:
    """The whole page."""
    name = title(document)
    parts = [f"<h1>{html.escape(name)}</h1>"]
    parts += [f'<div class="taint">tainted: {html.escape(reason)}</div>' for reason in document.tainted]
    headline = document.precision.headline if document.precision else next(reversed(document.stages))
    timing = document.stages[headline]
    parts.append(
        f"<p><b>{timing.p50_ms:.2f} ms</b> typical ({headline}), {timing.p99_ms:.2f} ms at the 99th percentile, "
        f"<b>{document.fps:.1f}</b> a second.</p>"
    )
    parts.append(_stage_table(document))
    if document.histogram is not None:
        parts.append(
            f"<h2>Distribution of {html.escape(headline)}</h2>" + _wide(_distribution(document.histogram, document))
        )
    if len(document.stages) > 1:
        parts.append("<h2>Stages: median, and up to the 95th percentile</h2>" + _wide(_stages(document)))
    for key, signal in document.series.items():
        if len(signal.t_s) > 1:
            label = _NAMES.get(key, key)
            parts.append(f"<h2>{html.escape(label)} over time</h2>" + _wide(_over_time(signal, label)))
    rows = "".join(f"<tr><td>{html.escape(k)}</td><td>{html.escape(v)}</td></tr>" for k, v in facts(document))
    parts.append(f'<h2>Conditions</h2><table class="facts">{rows}</table>')
    when = f"measured {document.measured_at} by fer-edge {document.fer_edge}" if document.measured_at else ""
    parts.append(f"<footer>{html.escape(when)}</footer>")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(name)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _wide(content: str) -> str:
    """What a phone is too narrow for is moved sideways by itself; the page stays."""
    return f'<div class="wide" tabindex="0">{content}</div>'


def _stage_table(document: BenchDoc) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{t.mean_ms:.3f}</td><td>{t.ci95_ms[0]:.3f} – {t.ci95_ms[1]:.3f}</td>"
        f"<td>{t.p50_ms:.3f}</td><td>{t.p90_ms:.3f}</td><td>{t.p95_ms:.3f}</td><td>{t.p99_ms:.3f}</td></tr>"
        for name, t in document.stages.items()
    )
    head = "".join(f"<th>{text}</th>" for text in ("ms", "mean", "95% interval", "p50", "p90", "p95", "p99"))
    return f'<div class="wide"><table class="stages"><tr>{head}</tr>{rows}</table></div>'


def _distribution(histogram: Histogram, document: BenchDoc) -> str:
    width = (histogram.upper_ms - histogram.lower_ms) / len(histogram.counts)
    plot = Plot((histogram.lower_ms, histogram.upper_ms), (0, max(histogram.counts) * 1.15), "ms", "repetitions")
    for i, count in enumerate(histogram.counts):
        x = histogram.lower_ms + i * width
        plot.bar(x, x + width, count, f"{x:.3f} to {x + width:.3f} ms: {count}")
    headline = document.precision.headline if document.precision else next(reversed(document.stages))
    timing = document.stages[headline]
    for level, (word, ms) in enumerate((("p50", timing.p50_ms), ("p95", timing.p95_ms))):
        if histogram.lower_ms <= ms <= histogram.upper_ms:
            plot.mark(ms, f"{word} {ms:.2f}", level)
    tail = f"<p>{histogram.above} slower than {histogram.upper_ms:.2f} ms are not drawn; the slowest took "
    return plot.svg("distribution of timings") + tail + f"{histogram.max_ms:.2f} ms.</p>"


def _stages(document: BenchDoc) -> str:
    """Horizontal bars, first stage on top."""
    names = list(document.stages)
    height = 22 + 26 * len(names)
    parts = []
    top = max(t.p95_ms for t in document.stages.values()) * 1.1
    for i, name in enumerate(names):
        timing = document.stages[name]
        y = 14 + 26 * i
        left, scale = 76, (640 - 76 - 90) / top
        median, slow = timing.p50_ms * scale, timing.p95_ms * scale
        parts.append(
            f'<text x="{left - 8}" y="{y + 12}" text-anchor="end" font-size="12">{html.escape(name)}</text>'
            f'<rect x="{left}" y="{y}" width="{median:.1f}" height="16" fill="#1f6feb"/>'
            f'<rect x="{left + median:.1f}" y="{y + 5}" width="{max(0, slow - median):.1f}" height="6" fill="#9cc2f7"/>'
            f'<text x="{left + slow + 6:.1f}" y="{y + 12}" font-size="11">{timing.p50_ms:.2f} ms</text>'
        )
    return (
        f'<svg viewBox="0 0 640 {height}" role="img" aria-label="stages" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _over_time(signal: Signal, label: str) -> str:
    low, high = min(signal.values), max(signal.values)
    room = (high - low) * 0.1 or max(abs(high) * 0.05, 0.5)
    # what was read before the first counted repetition is left of 0
    plot = Plot((min(0.0, *signal.t_s), max(signal.t_s)), (max(0.0, low - room), high + room), "s", signal.unit)
    plot.line(list(zip(signal.t_s, signal.values, strict=True)), signal.gaps)
    return plot.svg(f"{label} over time")
