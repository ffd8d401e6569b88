"""``fer-edge tune``: the fastest variant, threads and detector on this board, within an accuracy floor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from fer_edge.contract.bench import BenchDoc
from fer_edge.contract.bundle import Bundle
from fer_edge.contract.manifest import Variant
from fer_edge.errors import RunnerError, UsageError
from fer_edge.profiler.compare import compare
from fer_edge.profiler.measure import Plan
from fer_edge.profiler.report import computed_by
from fer_edge.profiler.session import Request, bench
from fer_edge.profiler.sweep import SweepDoc, as_table, providers_here, thread_counts
from fer_edge.profiler.workloads import PipelineWork, Subject
from fer_edge.setting import tuned
from fer_edge.setting.setting import Setting, setting_for

FLOOR_BELOW_BEST = 0.01  # one point: what the variants' accuracies differ by without anybody noticing


def tune(
    bundle: Bundle,
    floor: float | None,
    any_detector: bool,
    source: str,
    max_s: float,
    say: Callable[[str], None],
    progress: Callable[[str], None] | None = None,
) -> tuned.Tuned:
    """Measures and chooses.

    Variants and threads first, with the bundle's first detector; then the detectors with the winner. The default is
    always among them, and stays where nothing is faster beyond doubt.

    Args:
        bundle: what to tune.
        floor: least accuracy (0 to 1) by the manifest's first metric; None takes the best variant's less one point.
        any_detector: take the fastest detector too; else they are measured and shown, but the first one stays.
        source: of frames.
        max_s: to measure in all.
        say: told the tables.
        progress: told how far it is.

    Raises:
        UsageError: no variant reaches the floor, or the machine cannot run any.
    """
    manifest = bundle.manifest
    accuracy = {variant.id: variant.metrics[0].accuracy for variant in manifest.variants if variant.metrics}
    if floor is None and accuracy:
        floor = max(accuracy.values()) - FLOOR_BELOW_BEST
    variants = [variant for variant in manifest.variants if _reaches(variant, floor)]
    if not variants:
        best = max(accuracy.values(), default=0.0)
        raise UsageError(f"--floor {floor:.2%}: no variant reaches it, the best has {best:.2%}; expected a lower floor")
    for variant in manifest.variants:
        if variant not in variants:
            say(f"{variant.id}: left out, its accuracy {accuracy[variant.id]:.2%} is below the floor of {floor:.2%}")
    default = setting_for(manifest)
    settings = [
        replace(default, variant=variant.id, threads=n, provider=provider)
        for variant in variants
        for provider in (providers_here() if variant.format == "onnx" else [None])
        for n in (thread_counts() if provider in (None, "cpu") else [1])  # a GPU does not ask for ours
    ]
    if default not in settings:
        settings.append(default)
    settings = _those_that_run(bundle, settings, source, say)
    winner, documents = _fastest(bundle, settings, default, source, max_s * 0.7, progress)
    say(as_table(_sorted(documents)))
    for line in explain(documents, winner, accuracy, floor):
        say(line)
    named = (name for spec in (manifest.detector, *manifest.other_detectors) for name in spec.names)
    others = [replace(winner, detector=name) for name in named if name != winner.detector]  # its forms, too
    if others:
        chosen, seen = _fastest(bundle, [winner, *others], winner, source, max_s * 0.3, progress)
        say(as_table(_sorted(seen)))
        if any_detector:
            winner = chosen
        elif chosen != winner:
            say(f"{chosen.detector} is faster, but finds other faces; --any-detector takes it all the same")
    tainted = tuple(dict.fromkeys(reason for document in documents for reason in document.tainted))
    for reason in tainted:
        say(f"tainted: {reason}")
    times = {(d.variant, d.threads): d.stages["total"].p50_ms for d in reversed(_sorted(documents).rows)}
    return tuned.Tuned(
        identity=tuned.identity(bundle, winner.variant),
        variant=winner.variant,
        threads=winner.threads,
        detector=winner.detector,
        p50_ms=times[winner.variant, winner.threads],
        default_p50_ms=times.get((default.variant, default.threads), 0.0),
        measured_at=documents[0].measured_at or "",
        accuracy=accuracy.get(winner.variant),
        floor=floor,
        tainted=tainted,
        provider=winner.provider,
    )


def explain(
    documents: list[BenchDoc], winner: Setting, accuracy: Mapping[str, float], floor: float | None
) -> tuple[str, str, str]:
    """The choice in three lines: what is taken, what was next, and what decided.

    Args:
        documents: of all that was measured.
        winner: what is taken.
        accuracy: by variant, as the manifest has it.
        floor: below which none was measured; None: there was none.
    """
    rows = _sorted(documents).rows
    taken = next(row for row in rows if (row.variant, row.threads) == (winner.variant, winner.threads))
    runtimes = {row.runtime.name for row in rows}
    others = [row for row in rows if row.runtime.name != taken.runtime.name] if len(runtimes) > 1 else []
    others = others or [row for row in rows if row.variant != taken.variant]
    second = f"next: {_in_words(others[0], accuracy)}" if others else "next: nothing else could be measured"
    limit = "no variant has a measured accuracy" if floor is None else f"all within the floor of {floor:.1%}"
    why = f"nothing is faster beyond doubt than {taken.variant}"
    if rows[0] is taken:
        near = next((row for row in rows[1:] if _is_near(taken, row)), None)
        why = "the fastest beyond doubt" if near is None else f"the least median, {_named(near)} may be as fast"
    n = len({(row.variant, row.runtime.provider) for row in rows})
    return (
        f"taken: {_in_words(taken, accuracy)}",
        second,
        f"why: {why}, of {n} variant(s) on {len(runtimes)} runtime(s), {limit}",
    )


def _is_near(fastest: BenchDoc, row: BenchDoc) -> bool:
    """Whether a slower median is not surely slower; without the single timings nothing is doubted."""
    if not (fastest.blocks and row.blocks):
        return False
    return compare(fastest, row, across_boards=True).verdict != "slower"


def _named(row: BenchDoc) -> str:
    return f"{row.variant} on {computed_by(row)}, {row.threads} thread(s),"


def _in_words(row: BenchDoc, accuracy: Mapping[str, float]) -> str:
    """As in: int8 on ai-edge-litert 2.3.0, 2 thread(s): 4.1 ms a frame, 84.1%."""
    share = f"{accuracy[row.variant]:.1%}" if row.variant in accuracy else "accuracy not measured"
    p50_ms = row.stages["total"].p50_ms
    return f"{row.variant} on {computed_by(row)}, {row.threads} thread(s): {p50_ms:.1f} ms a frame, {share}"


def remember(bundle: Bundle, entry: tuned.Tuned) -> str:
    """Writes it where ``run`` and ``image`` look; says what changes.

    Raises:
        PermissionError: it cannot be written there.
    """
    path = tuned.save(entry)
    gain = f", {entry.default_p50_ms / entry.p50_ms:.2f} times the default's speed" if entry.default_p50_ms else ""
    return (
        f"{entry.variant}, {entry.threads} thread(s), {entry.detector}: {entry.p50_ms:.2f} ms a frame{gain}; "
        f"cameras take it from now on, files keep the bundle's own ({path}; fer-edge tune --forget goes back)"
    )


def forget(bundle: Bundle) -> str:
    """Goes back to the defaults."""
    n = tuned.forget(bundle)
    return "forgotten: cameras take the defaults again" if n else "nothing was remembered for this bundle"


def _reaches(variant: Variant, floor: float | None) -> bool:
    """A variant without a metric is as good as its bundle: there is nothing to hold against it."""
    return floor is None or not variant.metrics or variant.metrics[0].accuracy >= floor


def _those_that_run(bundle: Bundle, settings: list[Setting], source: str, say: Callable[[str], None]) -> list[Setting]:
    """Leaves out variants that this machine's interpreter cannot run."""
    broken: dict[str, str] = {}
    for variant in dict.fromkeys(setting.variant for setting in settings):
        setting = next(setting for setting in settings if setting.variant == variant)
        try:
            PipelineWork(Subject(bundle, setting), source)
        except RunnerError as error:
            broken[variant] = str(error)
            say(f"left out: {error}")
    kept = [setting for setting in settings if setting.variant not in broken]
    if not kept:
        raise UsageError(f"tune: no variant runs here ({next(iter(broken.values()))})")
    return kept


def _fastest(
    bundle: Bundle,
    settings: list[Setting],
    default: Setting,
    source: str,
    max_s: float,
    progress: Callable[[str], None] | None,
) -> tuple[Setting, list[BenchDoc]]:
    """The fastest by the median; the default where that one is not surely slower."""
    subjects = [Subject(bundle, setting) for setting in settings]
    plan = Plan(max_s=max_s, precision=0.003)
    documents = bench(Request(subjects, "pipeline", plan, source, use_power=False), progress)
    pairs = sorted(zip(settings, documents, strict=True), key=lambda pair: pair[1].stages["total"].p50_ms)
    best, best_document = pairs[0]
    for setting, document in pairs[1:]:
        if setting == default and compare(best_document, document, across_boards=True).verdict != "slower":
            return setting, documents
    return best, documents


def _sorted(documents: list[BenchDoc]) -> SweepDoc:
    rows = sorted(documents, key=lambda document: document.stages["total"].p50_ms)
    return SweepDoc(("variant", "threads"), tuple(rows))
