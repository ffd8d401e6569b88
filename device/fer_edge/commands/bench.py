"""``fer-edge bench``: times the pipeline, the network or its operators on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from fer_edge.board.identify import is_jetson
from fer_edge.commands.flags import progress
from fer_edge.contract import bench as schema
from fer_edge.contract import latency
from fer_edge.contract.bench import Accuracy, BenchDoc
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.errors import UsageError
from fer_edge.profiler import per_op, report, sweep, trace
from fer_edge.profiler.accuracy import measure_accuracy
from fer_edge.profiler.compare import compare, format_comparison
from fer_edge.profiler.measure import Plan
from fer_edge.profiler.session import Request, bench
from fer_edge.profiler.workloads import Mode, Subject
from fer_edge.program.own import keep_streams_clean, one_opencv_thread
from fer_edge.setting.find import find_bundle
from fer_edge.setting.setting import default_threads, setting_for
from fer_edge.sources import open_source
from fer_edge.sources.camera import find_camera
from fer_edge.types import FrameSource


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; gives the exit status."""
    # not what tune found: a measurement says itself what it is of
    arguments.threads = arguments.threads or default_threads()
    if arguments.n == 1:
        raise UsageError("--n 1: a single repetition has no spread; expected at least 2")
    bundle = open_bundle(find_bundle(arguments.bundle))
    if arguments.per_op is not None:
        return _per_op(arguments, bundle)
    mode = _mode(arguments)
    if arguments.trace is not None:
        return _trace(arguments, bundle, mode)
    if arguments.sweep:
        return _sweep(arguments, bundle, mode)
    report.check_targets(arguments.out)
    subjects = [_subject(arguments, bundle, arguments.variant)]
    if arguments.against:
        subjects.append(_against(arguments, bundle))
    documents = bench(_request(arguments, subjects, mode), progress())
    if len(documents) == 2:
        return _show_pair(arguments, documents)
    (document,) = documents
    for path in arguments.out:
        report.write(document, path)
    if arguments.json:
        print(schema.dumps(document), end="")
    else:
        print(report.as_table(document))
        if arguments.soak:
            print(report.as_soak(document))
    return 0


def _mode(arguments: argparse.Namespace) -> Mode:
    if arguments.model_only and arguments.mode not in (None, "model"):
        raise UsageError(f"--model-only and --mode {arguments.mode}: expected one of them")
    mode: Mode = "model" if arguments.model_only else arguments.mode or "pipeline"
    if mode == "model" and arguments.source:
        raise UsageError(f"--source {arguments.source}: the network alone reads no frames; expected --mode pipeline")
    return mode


def _subject(arguments: argparse.Namespace, bundle: Bundle, variant: str | None) -> Subject:
    setting = setting_for(bundle.manifest, variant, arguments.threads, arguments.detector, provider=arguments.provider)
    if arguments.provider and bundle.manifest.variant(setting.variant).format != "onnx" and not arguments.sweep:
        raise UsageError(f"--provider {arguments.provider}: is onnxruntime's, but {setting.variant} is a tflite file")
    return Subject(bundle, setting, arguments.tiles)


def _against(arguments: argparse.Namespace, bundle: Bundle) -> Subject:
    """The other side: another bundle's folder, or another variant of this one."""
    other = Path(arguments.against)
    if other.is_dir():
        there = open_bundle(other)
        known = [variant.id for variant in there.manifest.variants]
        return _subject(arguments, there, arguments.variant if arguments.variant in known else None)
    return _subject(arguments, bundle, arguments.against)


def _request(arguments: argparse.Namespace, subjects: list[Subject], mode: Mode) -> Request:
    accuracy: tuple[Accuracy | None, ...] = ()
    if arguments.accuracy is not None:
        accuracy = tuple(measure_accuracy(subject, arguments.accuracy, arguments.limit) for subject in subjects)
    if mode == "camera":
        one_opencv_thread()  # as run does
        if is_jetson():
            keep_streams_clean()
    return Request(
        subjects=subjects,
        mode=mode,
        plan=_plan(arguments, mode),
        source=arguments.source or "synthetic://?n=60",
        open_camera=_camera(arguments.source) if mode == "camera" else None,
        meter=arguments.meter,
        accuracy=accuracy,
        use_power=not arguments.no_power,
    )


def _plan(arguments: argparse.Namespace, mode: Mode) -> Plan:
    return Plan(arguments.n, arguments.warmup, arguments.precision, arguments.max_s, arguments.soak)


def _camera(source: str | None) -> Callable[[], FrameSource]:
    def open_camera() -> FrameSource:
        if source is None:
            return find_camera()
        return open_source(source, realtime=True)

    return open_camera


def _show_pair(arguments: argparse.Namespace, documents: list[BenchDoc]) -> int:
    """Two interleaved runs: both tables, the verdict, and files with -a and -b in their names."""
    for path in arguments.out:
        for role, document in zip("ab", documents, strict=True):
            report.write(document, path.with_name(f"{path.stem}-{role}{path.suffix}"))
    if arguments.json:
        for document in documents:
            print(schema.dumps(document), end="")
        return 0
    found = compare(documents[0], documents[1], across_boards=True)
    for role, document in zip("AB", documents, strict=True):
        print(f"{role}:\n{report.as_table(document)}\n")
    print(format_comparison(found).splitlines()[0])
    return int(found.verdict == "slower")


def _sweep(arguments: argparse.Namespace, bundle: Bundle, mode: Mode) -> int:
    subjects = sweep.combinations(arguments.sweep, _subject(arguments, bundle, arguments.variant), mode)
    document = sweep.run_sweep(_request(arguments, subjects, mode), arguments.sweep, progress())
    for path in arguments.out:
        sweep.write(document, path)
    print(sweep.dumps(document) if arguments.json else sweep.as_table(document), end="" if arguments.json else "\n")
    return 0


def _trace(arguments: argparse.Namespace, bundle: Bundle, mode: Mode) -> int:
    """One second as a trace, and nothing else: what is recorded costs time."""
    others = {
        "--against": arguments.against,
        "--out": arguments.out,
        "--soak": arguments.soak,
        "--json": arguments.json,
    }
    others |= {
        "--sweep": arguments.sweep,
        "--mode model": mode == "model",
        "--accuracy": arguments.accuracy,
        "--meter": arguments.meter,
    }
    told = next((flag for flag, value in others.items() if value), None)
    if told is not None:
        raise UsageError(f"--trace and {told}: expected one of them")
    if not arguments.trace.parent.is_dir():
        raise UsageError(f"--trace {arguments.trace}: no folder {arguments.trace.parent}; expected one that is there")
    one_opencv_thread()  # as run does
    source = _camera(arguments.source)() if mode == "camera" else open_source(arguments.source or "synthetic://")
    recorder, document = trace.trace(_subject(arguments, bundle, arguments.variant), source)
    trace.write(document, arguments.trace)
    print(
        f"{trace.as_table(recorder.spans)}\n{arguments.trace}: open it in https://ui.perfetto.dev or chrome://tracing"
    )
    return 0


def _per_op(arguments: argparse.Namespace, bundle: Bundle) -> int:
    report.check_targets(arguments.out)
    folder = Path(arguments.per_op) if arguments.per_op else bundle.path / "probes"
    document = per_op.time_probes(folder, arguments.threads, progress())
    for path in arguments.out:
        report.write_text(path, latency.dumps(document) if path.suffix == ".json" else per_op.as_table(document) + "\n")
    print(latency.dumps(document) if arguments.json else per_op.as_table(document), end="" if arguments.json else "\n")
    return 0
