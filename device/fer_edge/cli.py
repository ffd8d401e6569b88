"""The ``fer-edge`` command: its flags. Each command is a module of ``commands/``, imported when it runs.

So ``--help`` answers at once: nothing heavy is imported here.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from fer_edge import __version__
from fer_edge.commands.flags import add_measuring_commands, grids, port, positive, score, seconds
from fer_edge.contract import process
from fer_edge.contract.arguments import Parser, hide
from fer_edge.contract.outputs import clash_of
from fer_edge.errors import UsageError
from fer_edge.program.own import owned

_IDS = ("blazeface_short", "blazeface_full", "mtcnn")  # as contract.specs.DetectorSpec, unimported


class _Names(tuple[str, ...]):
    """Those that are listed; the forms for onnxruntime, which few bundles hold, are taken as well."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and name.removesuffix(".onnx") in _IDS)


_DETECTORS = _Names((*_IDS, "blazeface_short.int8"))
SEEN = "a command line can be read by every user of this machine; put the password in a --source-password-file FILE"
_BUNDLE_HELP = "default: FER_EDGE_BUNDLE, installed, dist/, or the built-in one; see fer-edge bundles"
_DETECTOR_HELP = "of faces (default: the bundle's first)"


def main(argv: list[str] | None = None) -> int:
    """Runs one command; gives the exit status.

    Args:
        argv: the command line; None takes this process', and guards its streams and Ctrl-C as well.
    """
    with owned():
        if argv is None:
            return process.run("fer-edge", lambda: _run_command(sys.argv[1:]))
        return process.status_of("fer-edge", lambda: _run_command(argv))


def _run_command(line: list[str]) -> int:
    Parser.words = line
    arguments = make_parser(next((word for word in line if not word.startswith("-")), "")).parse_args(line)
    if hide(line):
        print(f"fer-edge: warning: {SEEN}", file=sys.stderr)
    if problem := clash_of(arguments):
        raise UsageError(problem)
    try:
        status: int = import_module(f"fer_edge.commands.{arguments.command}").run(arguments)
    except ModuleNotFoundError as error:
        if error.name != "cv2":
            raise
        raise UsageError("OpenCV: not installed; pip install 'fer-edge[opencv]', or your system's") from error
    return status


def make_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser of the whole command line.

    Args:
        command: that will be parsed: the flags of ``run`` and ``config`` take time to make. None for all of them.
    """
    parser = Parser(prog="fer-edge", description="Reads facial expressions from photos and cameras.")
    parser.add_argument("--version", action="version", version=f"fer-edge {__version__}")
    commands = parser.add_subparsers(
        title="commands", prog="fer-edge", required=True, metavar="COMMAND", dest="command"
    )
    common = Parser(add_help=False)
    common.add_argument("--bundle", type=Path, metavar="DIR", help=_BUNDLE_HELP)
    common.add_argument("--variant", help="default: the bundle's default variant")
    common.add_argument("--threads", type=positive, metavar="N", help="default: up to 4, or what tune found")

    image = commands.add_parser("image", parents=[common], help="read the expressions in photos")
    image.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a photo, or a folder of photos")
    image.add_argument("--labels", metavar="SET", help="ferplus8 or fer7, where the bundle answers in both")
    image.add_argument("--detector", choices=_DETECTORS, help=_DETECTOR_HELP)
    image.add_argument("--min-score", type=score, metavar="X", help="least score of a face (default: the detector's)")
    image.add_argument("--json", action="store_true", help="a list of fer-edge/reading/1 documents, at the end")
    image.add_argument("--jsonl", metavar="FILE", help="append one JSON line per photo when it is read; -: to stdout")
    image.add_argument("--annotate", type=Path, metavar="OUT", help="picture to write; a folder for several photos")
    image.add_argument(
        "--tiles", type=grids, metavar="N,…", help="grids searched for small faces; 0: none (default: 2,3)"
    )
    image.add_argument("--baseline", type=Path, metavar="FILE", help="of fer-edge baseline: say the shift from it")
    image.add_argument("--blur", action="store_true", help="make the faces in annotated pictures unrecognizable")

    baseline = commands.add_parser(
        "baseline", parents=[common], help="keep a face's own neutral, to say how far it is from it later"
    )
    baseline.add_argument("photos", nargs="*", type=Path, metavar="PHOTO", help="of one still face; or a camera")
    baseline.add_argument("--camera", action="store_true", help="the first camera found")
    baseline.add_argument("--source", default="", metavar="URI", help="a camera or a clip")
    baseline.add_argument("--seconds", type=seconds, default=3.0, metavar="S", help="to look at it (default: 3)")
    baseline.add_argument("--labels", metavar="SET", help="ferplus8 or fer7, where the bundle answers in both")
    baseline.add_argument("--detector", choices=_DETECTORS, help=_DETECTOR_HELP)
    baseline.add_argument("--out", type=Path, required=True, metavar="FILE", help="to write")

    run = commands.add_parser("run", help="read a clip, a folder or a camera, and send the readings on")
    run.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/fer-edge/config.toml, if it is there")
    run.add_argument("--max-frames", type=positive, metavar="N", help="end after so many")

    config = commands.add_parser("config", help="check or show the configuration of run")
    config.add_argument("action", choices=("check", "show"), help="check a file; show what is in effect, as a file")
    config.add_argument("file", nargs="?", type=Path, metavar="FILE", help="default: see run --config")

    service = commands.add_parser("service", help="run at every start of the machine, under systemd")
    service.add_argument("action", choices=("install", "update", "status", "uninstall"))
    service.add_argument("--prefix", type=Path, metavar="DIR", help="of the installation (default: this one's)")

    web = commands.add_parser("web", parents=[common], help="serve a page that reads photos; no camera")
    web.add_argument("--labels", metavar="SET", help="ferplus8 or fer7, where the bundle answers in both")
    web.add_argument("--address", default="127.0.0.1", help="to listen on; any but this machine's own needs a token")
    web.add_argument("--port", type=port, default=8080, help="0: a free one (default: 8080)")
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

    add_measuring_commands(commands, common, _DETECTORS)

    verify = commands.add_parser("verify", parents=[common], help="replay the bundle's golden vectors here")
    verify.add_argument("--json", action="store_true")
    verify.add_argument(
        "--untrusted",
        nargs="?",
        const="",
        metavar="DIR|ARCHIVE",
        help="first try each network in a process without network or writing (default: the bundle that is installed)",
    )
    verify.add_argument(
        "--require-signature",
        type=Path,
        metavar="FILE",
        help="refuse an archive that no key in FILE signed: a public key, or ssh-keygen's list of allowed signers",
    )

    doctor = commands.add_parser("doctor", help="say what is wrong on this machine and what to do about it")
    doctor.add_argument("--bundle", type=Path, metavar="DIR", help=_BUNDLE_HELP)
    doctor.add_argument("--json", action="store_true", help="print a fer-edge/doctor/1 document")
    doctor.add_argument("--sysroot", type=Path, default=Path("/"), metavar="DIR", help="a recorded /proc, /sys, /dev")
    doctor.add_argument(
        "--report", type=Path, metavar="FILE.zip", help="pack what you can send: no pictures, no secrets"
    )

    commands.add_parser("info", parents=[common], help="what a bundle holds")

    bundles = commands.add_parser("bundles", help="which bundles are here, which one is used, and why")
    bundles.add_argument(
        "--bundle", type=Path, metavar="DIR", help="look at this one too, as if a command was given it"
    )
    bundles.add_argument("--json", action="store_true", help="print a fer-edge/bundles/1 document")
    if command in (None, "run", "config"):  # their flags are made from the settings' own modules
        from fer_edge.config import add_flags

        for name, its in (("run", run), ("config", config)):
            if command in (None, name):
                add_flags(its)
    return parser


if __name__ == "__main__":
    sys.exit(main())
