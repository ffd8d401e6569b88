"""The page of ``fleet_seen.py``: what was measured, and what 2,000 boards would be by arithmetic from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleet_seen import Seen

MANY = 2000
EVERY_S = 15  # the shipped scrape_interval
DAY_S, DAYS = 86400, 15  # Prometheus keeps 15 days where nothing else is said
PREFACE = (
    "One mosquitto and one Prometheus 2.42 of Debian 12 beside all boards on two shared x86-64 cores (other work ran):",
    "memory and counts hold elsewhere too, times and processor only roughly, and there was no network. *Runs* are real",
    "`fer-edge run` processes on drawn faces, a frame in 2 seconds. *Senders* are the program's own page of metrics",
    "and MQTT in a process each, 5 readings a second that were read before: no camera and no networks. Every board had",
    "its own machine id and host name.",
)
KB, MB, GB = 1e3, 1e6, 1e9


@dataclass(frozen=True)
class Row:
    """A line of the table of measurements."""

    name: str
    of: Callable[[Seen], str]


ROWS = (
    Row("boards", lambda s: str(s.boards)),
    Row("memory of a board's process, PSS", lambda s: f"{s.board_pss_bytes / MB:.1f} MB"),
    Row("devices in discoveries, no two the same", lambda s: str(s.devices)),
    Row("topics kept by the broker (retained)", lambda s: str(s.retained)),
    Row(
        "complaints of a second client with the same id",
        lambda s: "not looked at" if s.complaints is None else str(s.complaints),
    ),
    Row("messages to the broker a second", lambda s: f"{s.messages_per_s:.1f}"),
    Row("a board", lambda s: f"{s.messages_per_s / s.boards:.2f}"),
    Row("bytes to the broker a second", lambda s: f"{s.bytes_per_s / KB:.1f} kB"),
    Row(
        "memory of the broker, before and with them, PSS",
        lambda s: f"{s.broker_before_bytes / MB:.2f} to {s.broker_bytes / MB:.2f} MB",
    ),
    Row("processor of the broker, with one listener to everything", lambda s: f"{s.broker_cpu:.2%}"),
    Row("boards that Prometheus sees (`up`)", lambda s: str(s.up)),
    Row("scraped every", lambda s: f"{s.every_s} s"),
    Row("a page of metrics", lambda s: f"{s.page_bytes / KB:.1f} kB"),
    Row("samples of a page, kept of them", lambda s: f"{s.page_samples:.0f}, {s.kept_samples:.0f}"),
    Row(
        "time of a scrape, mean and longest",
        lambda s: f"{s.scrape_s * 1000:.0f} and {s.longest_scrape_s * 1000:.0f} ms",
    ),
    Row("series", lambda s: f"{s.series:,}"),
    Row("samples a second", lambda s: f"{samples_per_s(s):,.0f}"),
    Row("memory of Prometheus, PSS", lambda s: f"{s.server_bytes / MB:.0f} MB"),
    Row("processor of Prometheus, rules too", lambda s: f"{s.server_cpu:.1%}"),
    Row("a sample in a block, index included", lambda s: f"{s.block_bytes / s.block_samples:.1f} bytes"),
    Row("a sample in the write-ahead log", lambda s: f"{s.wal_bytes / s.appended:.1f} bytes"),
)


def samples_per_s(seen: Seen) -> float:
    """What Prometheus stores, its own five of each scrape included."""
    return seen.boards * (seen.kept_samples + 5) / seen.every_s


def line(few: float, many: float, n_few: int, n_many: int) -> float:
    """The straight line through both, at ``MANY`` boards."""
    return few + (many - few) / (n_many - n_few) * (MANY - n_few)


def arithmetic(few: Seen, many: Seen) -> list[tuple[str, str, str]]:
    """Name, value for ``MANY`` boards, and from what."""
    n, samples = many.boards, (many.kept_samples + 5) * MANY / EVERY_S
    messages, told = many.messages_per_s / n * MANY, many.bytes_per_s / n * MANY
    message_s, sample_s = many.broker_cpu / many.messages_per_s, many.server_cpu / samples_per_s(many)
    broker = line(few.broker_bytes, many.broker_bytes, few.boards, n)
    series, series_bytes = (
        many.series / n * MANY,
        (many.server_bytes - few.server_bytes) / (many.series - few.series),
    )
    memory = many.server_bytes + series_bytes * (series - many.series)
    sample_bytes = many.block_bytes / many.block_samples
    day = samples * DAY_S * sample_bytes
    busy, through = "on this busy machine", f"the line through {few.boards} and {n} boards"
    return [
        ("messages to the broker a second", f"{messages:,.0f}", f"{messages / MANY:.2f} a board"),
        ("bytes to the broker a second", f"{told / MB:.2f} MB", f"{told / MANY / KB:.2f} kB a board"),
        ("bytes from it to each that listens to all", f"{told / MB:.2f} MB", "as much again"),
        ("topics kept", f"{many.retained / n * MANY:,.0f}", f"{many.retained / n:.0f} a board"),
        ("memory of the broker", f"{broker / MB:.0f} MB", through),
        (
            "processor of the broker",
            f"{message_s * messages:.0%} of a core",
            f"{message_s * 1e6:.0f} µs a message, {busy}",
        ),
        ("scrapes a second", f"{MANY / EVERY_S:.0f}", f"one of each board every {EVERY_S} s"),
        ("pages a second", f"{many.page_bytes * MANY / EVERY_S / MB:.2f} MB", f"{many.page_bytes / KB:.1f} kB each"),
        ("scrapes at a time", f"{many.scrape_s * MANY / EVERY_S:.0f}", f"{many.scrape_s * 1000:.0f} ms each, {busy}"),
        ("series", f"{series:,.0f}", f"{many.series / n:.0f} a board"),
        ("samples a second", f"{samples:,.0f}", f"{many.kept_samples:.0f} and Prometheus' own 5 a scrape"),
        ("memory of Prometheus", f"{memory / GB:.2f} GB", f"{series_bytes / KB:.1f} kB a series, {through}"),
        ("processor of Prometheus", f"{sample_s * samples:.0%} of a core", f"{sample_s * 1e6:.0f} µs a sample, {busy}"),
        ("disk a day", f"{day / GB:.2f} GB", f"{sample_bytes:.1f} bytes a sample in a block"),
        (f"disk, {DAYS} days", f"{day * DAYS / GB:.0f} GB", "what Prometheus keeps where nothing else is said"),
    ]


def page(seen: list[Seen]) -> str:
    """Markdown.

    Args:
        seen: the light boards, few and many, then the real ones.
    """
    few, many, real = seen
    columns = [f"{s.boards} {'runs' if s.kind == 'real' else 'senders'}" for s in (real, few, many)]
    lines = [
        "# A fleet seen together",
        "",
        *PREFACE,
        f"Each column was watched for {min(s.seconds for s in seen):.0f} s.",
        "",
        "## Measured",
        "",
        "| what | " + " | ".join(columns) + " |",
        "|---" * 4 + "|",
        *(f"| {row.name} | " + " | ".join(row.of(s) for s in (real, few, many)) + " |" for row in ROWS),
        "",
        f"## Arithmetic for {MANY:,} boards",
        "",
        f"From the {many.boards} senders, and the line through {few.boards} and {many.boards}; nobody has run so many.",
        "",
        f"| what | {MANY:,} boards | from |",
        "|---|---|---|",
        *(f"| {name} | {value} | {why} |" for name, value, why in arithmetic(few, many)),
    ]
    return "\n".join(lines) + "\n"
