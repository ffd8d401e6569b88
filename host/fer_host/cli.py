"""The ``fer-host`` command. Heavy imports stay inside the commands, so that ``--help`` answers at once."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from fer_edge.contract.errors import EdgeError
from fer_host import __version__
from fer_host.errors import HostError

_ALLOCATORS = ("uniform", "hawq_v2", "haq", "actor_critic", "thresholds", "knapsack")
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
    convert.add_argument("--budget-kib", type=float, metavar="KIB", help="of the mixed variant's weights, effective")
    convert.add_argument("--compression", type=float, metavar="FACTOR", help="of the mixed variant, at least")
    convert.add_argument(
        "--budget-ms", type=float, metavar="MS", help="of one int8 inference on the board of --latency"
    )
    convert.add_argument("--latency", type=Path, metavar="FILE", help="a board's table, by fer-edge bench --per-op")
    convert.add_argument("--tuned", type=Path, metavar="FILE", help="tuned weights of the mixed variant, by `qat`")
    convert.add_argument("--quiet", action="store_true", help="print only what went wrong")
    convert.set_defaults(run=_convert)

    pack = commands.add_parser("pack", help="pack a bundle, the fer-edge wheel and the installer as one archive")
    pack.add_argument("model", metavar="MODEL")
    pack.add_argument("--bundle", type=Path, metavar="DIR", help="bundle folder (default: dist/MODEL)")
    pack.add_argument(
        "--target", metavar="TARGET", help="pi-bookworm, pi-trixie, jetson-jp6, x86-trixie or x86 (default: any)"
    )
    pack.add_argument("--offline", action="store_true", help="bring every dependency's wheel for the target")
    pack.set_defaults(run=_pack)

    train = commands.add_parser("train", help="train a recipe; a killed run resumes")
    train.add_argument("model", metavar="RECIPE")
    train.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="PATH", help="npz, CSV, a data set's folder")
    train.add_argument("--out", type=Path, metavar="FILE", help=".safetensors to write (default: host/zoo)")
    train.add_argument("--ablation", metavar="NAME", help="leave something out; `fer-host models` lists the names")
    train.set_defaults(run=_train)

    prune = commands.add_parser("prune", help="make a recipe's network smaller; a killed run resumes")
    prune.add_argument("model", metavar="RECIPE", help="with a [prune] table, e.g. hawqc_mbv2_pruned")
    prune.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="PATH", help="npz, CSV, a data set's folder")
    prune.add_argument("--out", type=Path, metavar="FILE", help=".safetensors to write (default: host/zoo)")
    prune.add_argument("--method", choices=("gated", "slimming", "greg", "uniform"), help="default: the recipe's")
    prune.add_argument("--macs", type=float, metavar="SHARE", help="budget: of the start's MACs")
    prune.add_argument("--parameters", type=float, metavar="SHARE", help="budget: of the start's parameters")
    prune.add_argument("--int8-kib", type=float, metavar="KIB", help="budget: size of the int8 file, estimated")
    prune.add_argument("--ms", type=float, metavar="MS", help="budget: of the int8 file on the board of --latency")
    prune.add_argument("--latency", type=Path, metavar="FILE", help="a board's table, by fer-edge bench --per-op")
    prune.set_defaults(run=_prune)

    search = commands.add_parser("search", help="choose a bit width for every channel within a budget")
    search.add_argument("model", metavar="RECIPE", help="with a [quantize] table, e.g. hawqc_mbv2")
    search.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="PATH", help="npz, CSV, a data set's folder")
    search.add_argument("--allocator", choices=_ALLOCATORS, help="default: the recipe's")
    search.add_argument(
        "--compression", type=float, metavar="FACTOR", help="of the float network; default: the recipe's"
    )
    search.add_argument("--out", type=Path, metavar="FILE", help=".json to write (default: host/zoo)")
    search.set_defaults(run=_search)

    qat = commands.add_parser("qat", help="tune a network on its bit widths; a killed run resumes")
    qat.add_argument("model", metavar="RECIPE", help="with a [quantize] table, e.g. hawqc_mbv2")
    qat.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="PATH", help="npz, CSV, a data set's folder")
    qat.add_argument("--policy", type=Path, metavar="FILE", help="by `search` (default: searched as the recipe says)")
    qat.add_argument("--out", type=Path, metavar="FILE", help=".safetensors to write (default: host/zoo)")
    qat.add_argument("--untuned", action="store_true", help="only move the weights to their grids")
    qat.set_defaults(run=_qat)

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
    evaluate.add_argument("--labels", choices=("ferplus8", "fer7"), help="default: what the bundle was trained on")
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
    calibrate.add_argument("--tuned", type=Path, metavar="FILE", help="only measure the ranges of these tuned weights")
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

    probes = commands.add_parser("probes", help="one tflite file an operator, for fer-edge bench --per-op to time")
    probes.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE|TFLITE", help="made by convert, or a file")
    probes.add_argument("--variant", action="append", help="of the bundles (default: all); may be repeated")
    probes.add_argument("--out", type=Path, metavar="DIR", help="default: probes/ in the first bundle")
    probes.set_defaults(run=_probes)

    report = commands.add_parser("report", help="tables and figures across boards and models, from fer-edge bench")
    report.add_argument("files", nargs="+", type=Path, metavar="BENCH.json")
    report.add_argument("--out", type=Path, required=True, metavar="DIR", help="report.md and PNGs go there")
    report.set_defaults(run=_report)

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
    from fer_host.quantize.shipped import MixedBudget

    model = arguments.model
    if (arguments.budget_ms is None) != (arguments.latency is None):
        raise HostError("budget: expected BUDGET_MS and LATENCY together, found one of them")
    if arguments.latency is not None:
        from fer_host.budget import within_ms

        model = within_ms(model, arguments.budget_ms, arguments.latency, arguments.quiet)
    convert(
        ConvertRequest(
            model=model,
            scheme=arguments.scheme,
            calib=arguments.calib,
            weights=arguments.weights,
            data=arguments.data,
            out=arguments.out,
            quiet=arguments.quiet,
            budget=MixedBudget(arguments.budget_kib, arguments.compression),
            tuned=arguments.tuned,
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
    from fer_host.train.ablations import ablated
    from fer_host.train.identities import run_identities
    from fer_host.train.run import run_training

    recipe, out = load_recipe(arguments.model), arguments.out
    if arguments.ablation:
        recipe = ablated(recipe, arguments.ablation)
        if out is None:  # the zoo holds what ships
            out = Path("build") / "ablations" / f"{recipe.id}.safetensors"
            out.parent.mkdir(parents=True, exist_ok=True)
    run = run_identities if recipe.labels == "identities" else run_training
    print(run(recipe, arguments.data, out))
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    from fer_host.prune.config import Budget
    from fer_host.prune.run import run_pruning, with_options
    from fer_host.recipe import load_recipe

    limits = (arguments.parameters, arguments.macs, arguments.int8_kib, arguments.ms)
    budget = Budget(*limits) if any(limit is not None for limit in limits) else None
    recipe = with_options(load_recipe(arguments.model), arguments.method, budget)
    print(run_pruning(recipe, arguments.data, arguments.out, latency_table=arguments.latency))
    return 0


def _search(arguments: argparse.Namespace) -> int:
    from fer_host.quantize.hawqc import run_search
    from fer_host.recipe import load_recipe

    recipe = load_recipe(arguments.model)
    print(run_search(recipe, arguments.data, arguments.allocator, arguments.compression, arguments.out))
    return 0


def _qat(arguments: argparse.Namespace) -> int:
    from fer_host.calibration.sets import calibrate_tuned
    from fer_host.quantize.hawqc import run_tuning
    from fer_host.quantize.tuned import format_tuning, read_tuning
    from fer_host.recipe import load_recipe

    recipe = load_recipe(arguments.model)
    target = run_tuning(recipe, arguments.data, arguments.policy, arguments.out, arguments.untuned)
    print(calibrate_tuned(recipe, target, arguments.data))
    print(format_tuning(read_tuning(target)))
    print(target)
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

    bundle = open_bundle(arguments.bundle)
    document = evaluate(
        bundle,
        arguments.data,
        arguments.labels or ("ferplus8" if "contempt" in bundle.manifest.labels else "fer7"),
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
    from fer_host.calibration.sets import calibrate_tuned, make_set

    if arguments.tuned is not None:
        from fer_host.recipe import load_recipe

        recipe = load_recipe(arguments.model)
        print(calibrate_tuned(recipe, arguments.tuned, arguments.data, arguments.n, arguments.seed))
        return 0
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


def _probes(arguments: argparse.Namespace) -> int:
    from fer_host.probes import probes_of

    document, target = probes_of(arguments.bundles, arguments.variant, arguments.out)
    print(f"{target}: {len(document.rows)} operators of {', '.join(document.networks)}")
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from fer_host.report import write_report

    for path in write_report(arguments.files, arguments.out):
        print(path)
    return 0


def _models(arguments: argparse.Namespace) -> int:
    import dataclasses
    import json

    from fer_host.zoo import SCHEMA, ablation_rows, format_table, paper_recipe_rows, paper_rows, recipe_rows

    recipes, papers, own, left_out = recipe_rows(), paper_rows(), paper_recipe_rows(), ablation_rows()
    if arguments.json:
        rows = {"recipes": recipes, "papers": papers, "paper_recipes": own}
        document = {name: [dataclasses.asdict(row) for row in listed] for name, listed in rows.items()}
        print(json.dumps({"schema": SCHEMA, **document, "ablations": left_out}, indent=2))
    else:
        print(format_table(recipes, papers, own, left_out))
    return 0


def _sample_photo(arguments: argparse.Namespace) -> int:
    from fer_host.golden import write_sample_photos

    for path in write_sample_photos(arguments.target):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
