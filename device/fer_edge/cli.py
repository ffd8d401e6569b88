"""The ``fer-edge`` command. Heavy imports stay inside the commands, so that ``--help`` answers at once."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from fer_edge import __version__
from fer_edge.contract import process
from fer_edge.errors import UsageError
from fer_edge.profiler.commands import add_commands as add_measuring_commands

_DETECTORS = ("blazeface_short", "blazeface_full", "mtcnn")  # as contract.manifest.DetectorSpec, unimported
_DETECTOR_HELP = "of faces (default: the bundle's first)"


def main(argv: list[str] | None = None) -> int:
    """Runs one command; gives the exit status.

    Args:
        argv: the command line; None takes this process', and guards its streams and Ctrl-C as well.
    """
    if argv is None:
        return process.run("fer-edge", lambda: _run_command(sys.argv[1:]))
    return process.status_of("fer-edge", lambda: _run_command(argv))


def _run_command(line: list[str]) -> int:
    arguments = _parser(next((word for word in line if not word.startswith("-")), "")).parse_args(line)
    try:
        status: int = arguments.run(arguments)
    except ModuleNotFoundError as error:
        if error.name != "cv2":
            raise
        raise UsageError("OpenCV: not installed; pip install 'fer-edge[opencv]', or your system's") from error
    return status


def _parser(command: str = "") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fer-edge", description="Reads facial expressions from photos and cameras.")
    parser.add_argument("--version", action="version", version=f"fer-edge {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--bundle", type=Path, metavar="DIR", help="default: FER_EDGE_BUNDLE, installed, or dist/")
    common.add_argument("--variant", help="default: the bundle's default variant")
    common.add_argument("--threads", type=_positive, metavar="N", help="default: up to 4, or what tune found")

    image = commands.add_parser("image", parents=[common], help="read the expressions in photos")
    image.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    image.add_argument("--labels", metavar="SET", help="ferplus8 or fer7, where the bundle answers in both")
    image.add_argument("--detector", choices=_DETECTORS, help=_DETECTOR_HELP)
    image.add_argument("--json", action="store_true", help="a list of fer-edge/reading/1 documents")
    image.add_argument("--annotate", type=Path, metavar="OUT", help="picture to write; a folder for several photos")
    image.add_argument(
        "--tiles", type=_tiles, metavar="N,…", help="grids searched for small faces; 0: none (default: 2,3)"
    )
    image.add_argument("--blur", action="store_true", help="make the faces in annotated pictures unrecognizable")
    image.set_defaults(run=_image)

    run = commands.add_parser("run", help="read a clip, a folder or a camera, and send the readings on")
    run.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/fer-edge/config.toml, if it is there")
    run.add_argument("--max-frames", type=_positive, metavar="N", help="end after so many")
    run.set_defaults(run=_run)

    config = commands.add_parser("config", help="check or show the configuration of run")
    config.add_argument("action", choices=("check", "show"), help="check a file; show what is in effect, as a file")
    config.add_argument("file", nargs="?", type=Path, metavar="FILE", help="default: see run --config")
    config.set_defaults(run=_config)

    service = commands.add_parser("service", help="run at every start of the machine, under systemd")
    service.add_argument("action", choices=("install", "update", "status", "uninstall"))
    service.add_argument("--prefix", type=Path, metavar="DIR", help="of the installation (default: this one's)")
    service.set_defaults(run=_service)

    web = commands.add_parser("web", parents=[common], help="serve a page that reads photos; no camera")
    web.add_argument("--labels", metavar="SET", help="ferplus8 or fer7, where the bundle answers in both")
    web.add_argument("--address", default="127.0.0.1", help="to listen on; any but this machine's own needs a token")
    web.add_argument("--port", type=_port, default=8080, help="0: a free one (default: 8080)")
    web.add_argument("--token-file", default="", metavar="FILE", help="its first line is the token; default: a new one")
    web.add_argument("--host-name", action="append", default=[], metavar="NAME", help="another name of this machine")
    web.add_argument(
        "--frame-ancestor",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="whose pages may show this one in a frame",
    )
    web.add_argument("--blur", action="store_true", help="send pictures with unrecognizable faces")
    web.set_defaults(run=_web)

    add_measuring_commands(commands, common, _DETECTORS, _tiles)

    verify = commands.add_parser("verify", parents=[common], help="replay the bundle's golden vectors here")
    verify.add_argument("--json", action="store_true")
    verify.set_defaults(run=_verify)

    doctor = commands.add_parser("doctor", help="say what is wrong on this machine and what to do about it")
    doctor.add_argument("--bundle", type=Path, metavar="DIR", help="default: FER_EDGE_BUNDLE, installed, or dist/")
    doctor.add_argument("--json", action="store_true", help="print a fer-edge/doctor/1 document")
    doctor.add_argument("--sysroot", type=Path, default=Path("/"), metavar="DIR", help="a recorded /proc, /sys, /dev")
    doctor.add_argument(
        "--report", type=Path, metavar="FILE.zip", help="pack what you can send: no pictures, no secrets"
    )
    doctor.set_defaults(run=_doctor)

    info = commands.add_parser("info", parents=[common], help="what a bundle holds")
    info.set_defaults(run=_info)
    if command in ("run", "config"):  # their flags are made from the settings' own modules
        from fer_edge.config import add_flags

        add_flags(run if command == "run" else config)
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number above 0")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 0 to 65535")
    return int(text)


def _tiles(text: str) -> tuple[int, ...]:
    grids = text.split(",")
    if not all(grid.isdecimal() and int(grid) <= 8 for grid in grids):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected grid sizes such as 2,3, or 0")
    return tuple(int(grid) for grid in grids if int(grid) > 1)


def _image(arguments: argparse.Namespace) -> int:
    from fer_edge.commands.image import read_images
    from fer_edge.contract.bundle import open_bundle
    from fer_edge.detectors import PHOTO_TILES
    from fer_edge.setting import tuned
    from fer_edge.setting.find import find_bundle

    bundle = open_bundle(find_bundle(arguments.bundle)).answering_in(arguments.labels)
    variant, threads, detector = tuned.choose(bundle, arguments.variant, arguments.threads, arguments.detector)
    return read_images(
        bundle,
        arguments.paths,
        variant_id=variant,
        threads=threads,
        tiles=PHOTO_TILES if arguments.tiles is None else arguments.tiles,
        detector_id=detector,
        as_json=arguments.json,
        annotate_to=arguments.annotate,
        blur=arguments.blur,
    )


def _run(arguments: argparse.Namespace) -> int:
    from fer_edge import config, logs
    from fer_edge.daemon.launch import Launcher

    flags = config.given_flags(arguments)
    configuration, file = config.load(arguments.config, flags)
    summary = Launcher(configuration, file, flags, arguments.max_frames).run()
    logs.say(str(summary))
    return summary.exit_status


def _config(arguments: argparse.Namespace) -> int:
    from fer_edge import config

    flags = config.given_flags(arguments)
    configuration, file = config.load(arguments.file, flags)
    if arguments.action == "show":
        print(
            f"# {file or 'no file: the defaults'}{' and flags' if flags else ''}\n{config.as_toml(configuration)}",
            end="",
        )
    elif file is None:
        places = ", ".join(map(str, config.default_files()))
        raise UsageError(f"config check: no file; expected FILE, or one of {places}")
    else:
        print(f"{file}: no mistake found")
    return 0


def _service(arguments: argparse.Namespace) -> int:
    from fer_edge.daemon import service

    if arguments.action == "status":
        return service.status()
    if arguments.action == "uninstall":
        return service.uninstall()
    return service.install(arguments.prefix, start=arguments.action == "install")


def _web(arguments: argparse.Namespace) -> int:
    from fer_edge import logs
    from fer_edge.contract.bundle import open_bundle
    from fer_edge.detectors import PHOTO_TILES
    from fer_edge.pipeline import open_pipeline
    from fer_edge.setting import tuned
    from fer_edge.setting.find import find_bundle
    from fer_edge.sinks.web.alone import serve
    from fer_edge.sinks.web.controls import PhotoDesk
    from fer_edge.sinks.web.settings import WebSettings

    bundle = open_bundle(find_bundle(arguments.bundle)).answering_in(arguments.labels)
    variant, threads, detector = tuned.choose(bundle, arguments.variant, arguments.threads, None)
    pipeline = open_pipeline(bundle, variant, threads, PHOTO_TILES, detector)  # here, so that errors show now
    settings = WebSettings(
        enabled=True,
        address=arguments.address,
        port=arguments.port,
        token_file=arguments.token_file,
        hosts=tuple(arguments.host_name),
        frame_ancestors=tuple(arguments.frame_ancestor),
        blur=arguments.blur,
    )
    logs.set_up(logs.LogSettings())
    return serve(settings, PhotoDesk(lambda: pipeline), logs.say)


def _verify(arguments: argparse.Namespace) -> int:
    import dataclasses

    from fer_edge.commands import verify
    from fer_edge.contract.bundle import open_bundle
    from fer_edge.setting.find import find_bundle

    bundle = open_bundle(find_bundle(arguments.bundle))
    names = [arguments.variant] if arguments.variant else [variant.id for variant in bundle.manifest.variants]
    rows = verify.verify(bundle, names, arguments.threads or min(4, os.cpu_count() or 1))
    document = {"schema": verify.SCHEMA, "variants": [dataclasses.asdict(row) for row in rows]}
    print(json.dumps(document) if arguments.json else verify.format_table(rows))
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from fer_edge.doctor.examine import Machine, examine
    from fer_edge.doctor.report import DoctorDoc, dumps, format_lines, format_summary

    if not arguments.sysroot.is_dir():
        raise UsageError(f"--sysroot {arguments.sysroot}: no such folder; expected a recorded tree, or nothing")
    machine = Machine(arguments.bundle, arguments.sysroot)
    findings = []
    for finding in examine(machine):
        findings.append(finding)
        if not arguments.json:
            print(format_lines(finding), flush=True)
    sysroot = None if arguments.sysroot == Path("/") else str(arguments.sysroot)
    document = dumps(DoctorDoc(__version__, machine.board.model, tuple(findings), sysroot))
    if arguments.report is not None:
        from fer_edge.doctor.pack import pack

        names = pack(arguments.report, document, machine.root, machine.run)
        print(f"{arguments.report}: {', '.join(names)}; look into it before you send it", file=sys.stderr)
    if arguments.json:
        print(document, end="")
    else:
        print(format_summary(findings))
    return int(any(finding.level == "fail" for finding in findings))


def _info(arguments: argparse.Namespace) -> int:
    from fer_edge.commands.info import describe
    from fer_edge.contract.bundle import open_bundle
    from fer_edge.setting.find import find_bundle

    print(describe(open_bundle(find_bundle(arguments.bundle))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
