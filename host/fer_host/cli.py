"""The ``fer-host`` command. Heavy imports stay inside the commands, so that ``--help`` answers at once."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from fer_edge.contract.errors import EdgeError
from fer_host import __version__
from fer_host.errors import HostError

DEFAULT_DATA = Path("../shared/data/fer2013/fer2013_train_public.npz")


def main(argv: list[str] | None = None) -> int:
    """Runs one command; a user's error is one line on stderr and status 2, anything else keeps its traceback."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show "→" shows "?" instead of a traceback
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except (HostError, EdgeError) as error:
        print(f"fer-host: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a place that cannot be read or written; without a name it is a bug of ours
        if error.filename is None:
            raise
        print(f"fer-host: error: {error.filename}: {error.strerror}; expected a usable place", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fer-host: stopped", file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fer-host", description="Train, compress and convert FER networks.")
    parser.add_argument("--version", action="version", version=f"fer-host {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    convert = commands.add_parser("convert", help="make a bundle from a recipe")
    convert.add_argument("model", metavar="MODEL", help="a recipe's name, e.g. hawqc_mbv2, or a TOML file")
    convert.add_argument("--calib", metavar="FOLDER|SET", help="photos, or a shipped set, that give the int8 ranges")
    convert.add_argument("--scheme", metavar="SCHEME", help="make this variant too, and the default")
    convert.add_argument("--weights", type=Path, metavar="FILE", help="your own .safetensors or .pt state dict")
    convert.add_argument("--data", type=Path, metavar="NPZ", help="also gate accuracy on this data set")
    convert.add_argument("--out", type=Path, metavar="DIR", help="bundle folder (default: dist/MODEL)")
    convert.add_argument("--quiet", action="store_true", help="print only what went wrong")
    convert.set_defaults(run=_convert)

    pack = commands.add_parser("pack", help="pack a bundle and the fer-edge wheel as one archive")
    pack.add_argument("model", metavar="MODEL")
    pack.add_argument("--bundle", type=Path, metavar="DIR", help="bundle folder (default: dist/MODEL)")
    pack.set_defaults(run=_pack)

    train = commands.add_parser("train", help="train a recipe; a killed run resumes")
    train.add_argument("model", metavar="RECIPE")
    train.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="NPZ")
    train.add_argument("--out", type=Path, metavar="FILE", help=".safetensors to write (default: host/zoo)")
    train.set_defaults(run=_train)

    evaluate = commands.add_parser("evaluate", help="a bundle's accuracy through the device's own code")
    evaluate.add_argument("bundle", type=Path, metavar="BUNDLE")
    evaluate.add_argument("--data", type=Path, required=True, metavar="NPZ|FOLDER")
    evaluate.add_argument("--labels", choices=("ferplus8", "fer7"), default="ferplus8")
    evaluate.add_argument("--usage", help="split of the npz (default: every row that is not Training)")
    evaluate.add_argument("--variant", help="default: the bundle's default variant")
    evaluate.add_argument("--per-class", type=_positive, metavar="N", help="a balanced, seeded draw of N a class")
    evaluate.add_argument("--seed", type=_positive, default=1)
    evaluate.add_argument("--crops", action="store_true", help="the folder's photos are face crops already")
    evaluate.add_argument("--threads", type=_positive, default=1)
    evaluate.add_argument("--json", action="store_true", help="print the fer-edge/evaluate/1 document")
    evaluate.set_defaults(run=_evaluate)

    calibrate = commands.add_parser("calibrate", help="make a calibration set and its activation ranges")
    calibrate.add_argument("name", metavar="NAME")
    calibrate.add_argument("--data", type=Path, required=True, metavar="NPZ|FOLDER")
    calibrate.add_argument("--model", default="hawqc_mbv2", metavar="RECIPE")
    calibrate.add_argument("--weights", type=Path, metavar="FILE")
    calibrate.add_argument("--n", type=_positive, default=256, help="faces at most")
    calibrate.add_argument("--seed", type=_positive, default=1)
    calibrate.add_argument("--source", default="", help="where the faces come from, for the set's record")
    calibrate.add_argument("--license", default="unknown", help="their licence, for the set's record")
    calibrate.set_defaults(run=_calibrate)

    geometry = commands.add_parser("geometry", help="measure where landmarks lie in FER2013's training images")
    geometry.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="NPZ")
    geometry.add_argument("--n", type=_positive, default=2000)
    geometry.add_argument("--seed", type=_positive, default=1)
    geometry.add_argument("--detector", default="blazeface_short")
    geometry.set_defaults(run=_geometry)

    release = commands.add_parser("release", help="measure a bundle's variants and write them into the model card")
    release.add_argument("model", metavar="RECIPE")
    release.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="NPZ")
    release.set_defaults(run=_release)

    photo = commands.add_parser("sample-photo", help="write the packaged photos (a .png file, or a folder of both)")
    photo.add_argument("target", type=Path, metavar="FILE.png|DIR")
    photo.set_defaults(run=_sample_photo)
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number above 0")
    return int(text)


def _convert(arguments: argparse.Namespace) -> int:
    from fer_host.pipeline import ConvertRequest, convert

    convert(
        ConvertRequest(
            model=arguments.model,
            scheme=arguments.scheme,
            calib=arguments.calib,
            weights=arguments.weights,
            data=arguments.data,
            out=arguments.out,
            quiet=arguments.quiet,
        )
    )
    return 0


def _pack(arguments: argparse.Namespace) -> int:
    from fer_host.pack import pack

    print(pack(arguments.bundle or Path("dist") / arguments.model, Path("dist")))
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from fer_host.recipe import load_recipe
    from fer_host.train.run import run_training

    print(run_training(load_recipe(arguments.model), arguments.data, arguments.out))
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from fer_edge.contract import evaluate as schema
    from fer_edge.contract.bundle import open_bundle
    from fer_host.evaluate import evaluate, format_table

    document = evaluate(
        open_bundle(arguments.bundle),
        arguments.data,
        arguments.labels,
        usage=arguments.usage,
        variant_id=arguments.variant,
        per_class=arguments.per_class,
        seed=arguments.seed,
        crops_as_is=arguments.crops,
        threads=arguments.threads,
    )
    print(schema.dumps(document) if arguments.json else format_table(document), end="")
    return 0


def _calibrate(arguments: argparse.Namespace) -> int:
    from fer_host.calibration.sets import make_set

    make_set(
        arguments.name,
        arguments.data,
        arguments.model,
        weights=arguments.weights,
        n=arguments.n,
        seed=arguments.seed,
        source=arguments.source,
        license_name=arguments.license,
    )
    return 0


def _geometry(arguments: argparse.Namespace) -> int:
    from fer_host.geometry import measure

    found = measure(arguments.data, arguments.n, arguments.seed, arguments.detector)
    print(f"{found.found} faces in {found.n} images ({found.found / found.n:.1%}), detector {arguments.detector}")
    for name, (x, y) in found.median.items():
        print(
            f"  {name:10} median {x:.3f}, {y:.3f}   "
            f"standard deviation {found.std[name][0]:.3f}, {found.std[name][1]:.3f}"
        )
    print(f"  template for a 96 px crop: {found.template(96)}")
    print(
        f"  1st and 99th percentile of the images' brightness (mean) {found.brightness}, "
        f"contrast (standard deviation) {found.contrast}"
    )
    return 0


def _release(arguments: argparse.Namespace) -> int:
    from fer_host.release import release

    release(arguments.model, arguments.data)
    return 0


def _sample_photo(arguments: argparse.Namespace) -> int:
    from fer_host.golden import write_sample_photos

    for path in write_sample_photos(arguments.target):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
