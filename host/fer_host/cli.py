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

    pack = commands.add_parser("pack", help="pack a bundle, the fer-edge wheel and the installer as one archive")
    pack.add_argument("model", metavar="MODEL")
    pack.add_argument("--bundle", type=Path, metavar="DIR", help="bundle folder (default: dist/MODEL)")
    pack.add_argument("--target", metavar="TARGET", help="pi-bookworm, pi-trixie, jetson-jp6 or x86 (default: any)")
    pack.add_argument("--offline", action="store_true", help="bring every dependency's wheel for the target")
    pack.set_defaults(run=_pack)

    train = commands.add_parser("train", help="train a recipe; a killed run resumes")
    train.add_argument("model", metavar="RECIPE")
    train.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="PATH", help="npz, CSV, a data set's folder")
    train.add_argument("--out", type=Path, metavar="FILE", help=".safetensors to write (default: host/zoo)")
    train.set_defaults(run=_train)

    prune = commands.add_parser("prune", help="make a recipe's network smaller; a killed run resumes")
    prune.add_argument("model", metavar="RECIPE", help="with a [prune] table, e.g. hawqc_mbv2_pruned")
    prune.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="PATH", help="npz, CSV, a data set's folder")
    prune.add_argument("--out", type=Path, metavar="FILE", help=".safetensors to write (default: host/zoo)")
    prune.add_argument("--method", choices=("gated", "slimming", "greg", "uniform"), help="default: the recipe's")
    prune.add_argument("--macs", type=float, metavar="SHARE", help="budget: of the start's MACs")
    prune.add_argument("--parameters", type=float, metavar="SHARE", help="budget: of the start's parameters")
    prune.add_argument("--int8-kib", type=float, metavar="KIB", help="budget: size of the int8 file, estimated")
    prune.set_defaults(run=_prune)

    kfold = commands.add_parser("kfold", help="train a recipe once a fold; mean and standard deviation over the folds")
    kfold.add_argument("model", metavar="RECIPE")
    kfold.add_argument("--data", type=Path, required=True, metavar="PATH", help="npz, CSV, or a data set's folder")
    kfold.add_argument("--folds", type=_positive, default=10, metavar="K")
    kfold.add_argument(
        "--by",
        choices=("subject", "sequence", "leaky"),
        default="subject",
        help="what stays together; leaky is for comparison with papers that shuffled near-identical frames",
    )
    kfold.add_argument("--seed", type=_positive, default=1, help="of the folds")
    kfold.add_argument("--out", type=Path, metavar="FILE", help="a fer-edge/kfold/1 document to write")
    kfold.set_defaults(run=_kfold)

    evaluate = commands.add_parser("evaluate", help="a bundle's accuracy through the device's own code")
    evaluate.add_argument("bundle", type=Path, metavar="BUNDLE")
    evaluate.add_argument("--data", type=Path, required=True, metavar="PATH", help="npz, CSV, or a data set's folder")
    evaluate.add_argument("--labels", choices=("ferplus8", "fer7"), default="ferplus8")
    evaluate.add_argument("--usage", help="split of the set (default: every row that is not Training)")
    evaluate.add_argument("--variant", help="default: the bundle's default variant")
    evaluate.add_argument("--per-class", type=_positive, metavar="N", help="a balanced, seeded draw of N a class")
    evaluate.add_argument("--seed", type=_positive, default=1)
    evaluate.add_argument("--crops", action="store_true", help="the pictures are face crops already")
    evaluate.add_argument("--occlude", choices=("eyes", "mouth"), help="put a gray bar over this part of every face")
    evaluate.add_argument("--ten-crop", action="store_true", help="average ten crops of each face, as some papers do")
    evaluate.add_argument("--threads", type=_positive, default=1)
    evaluate.add_argument("--json", action="store_true", help="print the fer-edge/evaluate/1 document")
    evaluate.set_defaults(run=_evaluate)

    explain = commands.add_parser("explain", help="heat maps over photos: where a network sees an expression")
    explain.add_argument("model", metavar="MODEL", help="a recipe's name, or a TOML file")
    explain.add_argument("photos", type=Path, nargs="+", metavar="PHOTO", help="files, or folders of them")
    explain.add_argument("--out", type=Path, required=True, metavar="DIR")
    explain.add_argument("--weights", type=Path, metavar="FILE", help="your own .safetensors or .pt state dict")
    explain.add_argument("--label", metavar="NAME", help="explain this class (default: the network's answer)")
    explain.add_argument("--method", choices=("grad-cam", "hires-cam"), default="grad-cam")
    explain.add_argument("--map-px", type=_positive, default=6, metavar="N", help="the last map of N or more px a side")
    explain.set_defaults(run=_explain)

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

    models = commands.add_parser("models", help="every network: parameters, MACs, the papers' counts, accuracy")
    models.add_argument("--json", action="store_true", help="a fer-edge/models/1 document")
    models.set_defaults(run=_models)

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

    bundle = arguments.bundle or Path("dist") / arguments.model
    print(pack(bundle, Path("dist"), arguments.target, arguments.offline))
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from fer_host.recipe import load_recipe
    from fer_host.train.run import run_training

    print(run_training(load_recipe(arguments.model), arguments.data, arguments.out))
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    from fer_host.prune.config import Budget
    from fer_host.prune.run import run_pruning, with_options
    from fer_host.recipe import load_recipe

    limits = (arguments.parameters, arguments.macs, arguments.int8_kib)
    budget = Budget(*limits) if any(limit is not None for limit in limits) else None
    recipe = with_options(load_recipe(arguments.model), arguments.method, budget)
    print(run_pruning(recipe, arguments.data, arguments.out))
    return 0


def _kfold(arguments: argparse.Namespace) -> int:
    from fer_host.recipe import load_recipe
    from fer_host.train.kfold import format_fold, format_summary, run_kfold, save, summarize

    recipe = load_recipe(arguments.model)
    folds = []
    for fold in run_kfold(recipe, arguments.data, arguments.folds, arguments.by, arguments.seed):
        print(format_fold(fold, arguments.folds), flush=True)
        folds.append(fold)
    if not folds:  # of several processes, only the leader has scores
        return 0
    document = summarize(recipe, arguments.data, arguments.by, arguments.seed, folds)
    print(format_summary(document))
    if arguments.out:
        save(document, arguments.out)
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
        occluded=arguments.occlude,
        ten_crop=arguments.ten_crop,
        threads=arguments.threads,
    )
    print(schema.dumps(document) if arguments.json else format_table(document), end="")
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    from fer_host.errors import DataError
    from fer_host.explain import explain
    from fer_host.recipe import load_recipe

    found = 0
    for outcome in explain(
        load_recipe(arguments.model),
        arguments.photos,
        arguments.out,
        weights=arguments.weights,
        label=arguments.label,
        method=arguments.method,
        map_px=arguments.map_px,
    ):
        print(outcome.line(), flush=True)
        found += outcome.picture is not None
    if not found:
        raise DataError("photos: no face found in any; expected at least one face that the detector can see")
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


def _models(arguments: argparse.Namespace) -> int:
    import dataclasses
    import json

    from fer_host.zoo import SCHEMA, format_table, paper_rows, recipe_rows

    recipes, papers = recipe_rows(), paper_rows()
    if arguments.json:
        rows = {"recipes": recipes, "papers": papers}
        document = {name: [dataclasses.asdict(row) for row in listed] for name, listed in rows.items()}
        print(json.dumps({"schema": SCHEMA, **document}, indent=2))
    else:
        print(format_table(recipes, papers))
    return 0


def _sample_photo(arguments: argparse.Namespace) -> int:
    from fer_host.golden import write_sample_photos

    for path in write_sample_photos(arguments.target):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
