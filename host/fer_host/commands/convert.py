"""``fer-host`` commands that make and look at bundles, pack and list them: ``add_commands`` has them all.

Heavy imports stay inside the functions.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fer_host.commands.options import positive
from fer_host.errors import HostError
from fer_host.files.paths import DIST


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds them to the parser."""
    convert = commands.add_parser("convert", help="make a bundle from a recipe")
    convert.add_argument(
        "model", metavar="MODEL", help="a recipe's name, e.g. hawqc_mbv2, a TOML file, or a network: .onnx, .pt2"
    )
    convert.add_argument("--calib", metavar="FOLDER|SET", help="photos, or a shipped set, that give the int8 ranges")
    convert.add_argument(
        "--variant",
        "--scheme",
        metavar="VARIANT",
        help="make this one too, and the default; more after commas (SCHEME= of make)",
    )
    convert.add_argument("--weights", type=Path, metavar="FILE", help="your own .safetensors or .pt state dict")
    convert.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="also gate accuracy on this: npz, or labelled photos for your own network",
    )
    convert.add_argument("--out", type=Path, metavar="DIR", help="bundle folder (default: dist/MODEL)")
    convert.add_argument("--budget-kib", type=float, metavar="KIB", help="of the mixed variant's weights, effective")
    convert.add_argument("--compression", type=float, metavar="FACTOR", help="of the mixed variant, at least")
    convert.add_argument(
        "--budget-ms", type=float, metavar="MS", help="of one int8 inference on the board of --latency"
    )
    convert.add_argument("--latency", type=Path, metavar="FILE", help="a board's table, by fer-edge bench --per-op")
    convert.add_argument("--tuned", type=Path, metavar="FILE", help="tuned weights of the mixed variant, by `qat`")
    own = convert.add_argument_group("a network of your own")
    own.add_argument("--labels", metavar="A,B,C", help=".onnx, .pt2: what its outputs mean, in their order")
    own.add_argument(
        "--input",
        metavar="COLOR,SIZE[,VALUES]",
        help=".onnx, .pt2: gray, gray3 or rgb; side in px; 0..1 (default), -1..1, imagenet, standardize or stretch",
    )
    own.add_argument("--crop-px", type=positive, metavar="PX", help=".onnx, .pt2: side of the face crop")
    own.add_argument(
        "--percentile", type=float, metavar="P", help="int8 ranges reach this far, e.g. 99.9 (default 100)"
    )
    own.add_argument(
        "--keep-float",
        action="append",
        default=[],
        metavar="LAYER",
        help="leave this layer of int8 in float; repeatable",
    )
    own.add_argument(
        "--accept-loss", type=float, metavar="SHARE", help="accept this loss against float; the manifest records it"
    )
    convert.add_argument("--quiet", action="store_true", help="print only what went wrong")
    convert.set_defaults(run=_convert)

    export = commands.add_parser("export", help="the form that an accelerator's compiler takes, with its commands")
    export.add_argument("model", metavar="MODEL", help="a recipe's name, e.g. fer48, or a TOML file")
    export.add_argument(
        "--for",
        required=True,
        dest="accelerator",
        metavar="NAME",
        help="coral, ethos-u, hailo, imx, imx500 or rknn",
    )
    export.add_argument("--out", type=Path, metavar="DIR", help="default: dist/export/MODEL-NAME")
    export.add_argument("--weights", type=Path, metavar="FILE", help="your own .safetensors or .pt state dict")
    export.add_argument(
        "--calib", type=Path, metavar="FOLDER", help="photos to calibrate with (default: the packaged ones)"
    )
    export.add_argument("--n", type=positive, default=256, help="calibration pictures (default: 256)")
    export.add_argument("--quiet", action="store_true", help="print only what went wrong")
    export.set_defaults(run=_export)

    builtin = commands.add_parser("builtin", help="make the bundle inside fer-edge's wheel again, from shipped weights")
    builtin.set_defaults(run=_builtin)

    pack = commands.add_parser("pack", help="pack a bundle, the fer-edge wheel and the installer as one archive")
    pack.add_argument("model", metavar="MODEL")
    pack.add_argument("--bundle", type=Path, metavar="DIR", help="bundle folder (default: dist/MODEL)")
    pack.add_argument(
        "--target", metavar="TARGET", help="pi-bookworm, pi-trixie, jetson-jp6, x86-trixie or x86 (default: any)"
    )
    pack.add_argument("--offline", action="store_true", help="bring every dependency's wheel for the target")
    pack.add_argument("--sign", type=Path, metavar="KEY", help="OpenSSH key that signs it (SIGN= of make names it)")
    pack.set_defaults(run=_pack)

    package = commands.add_parser(
        "package", help="everything that a release consists of: wheel, archives, source, notes"
    )
    package.add_argument("models", nargs="*", metavar="MODEL", help="an archive each (default: hawqc_mbv2 and fer48)")
    package.add_argument("--target", action="append", default=[], help="also with every dependency for this target")
    package.add_argument("--out", type=Path, metavar="DIR", help="default: dist/release-VERSION")
    package.add_argument("--sign", type=Path, metavar="KEY", help="OpenSSH key that signs the archives")
    package.set_defaults(run=_package)

    probes = commands.add_parser("probes", help="one tflite file per operator, for fer-edge bench --per-op to time")
    probes.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE|TFLITE", help="made by convert, or a file")
    probes.add_argument("--variant", action="append", help="of the bundles (default: all); may be repeated")
    probes.add_argument("--out", type=Path, metavar="DIR", help="default: probes/ in the first bundle")
    probes.set_defaults(run=_probes)

    report = commands.add_parser(
        "report", help="tables and figures across boards and models, from fer-edge bench; of many, which one is odd"
    )
    report.add_argument("files", nargs="+", type=Path, metavar="BENCH.json", help="or tables of bench --per-op")
    report.add_argument(
        "--out", type=Path, metavar="DIR", help="report.md and PNGs go there (default: shows the tables)"
    )
    report.set_defaults(run=_report)

    models = commands.add_parser("models", help="every network: parameters, MACs, the papers' counts, accuracy")
    models.add_argument("--json", action="store_true", help="a fer-edge/models/1 document")
    models.set_defaults(run=_models)

    photo = commands.add_parser("sample-photo", help="write the packaged photos (a .png file, or a folder of both)")
    photo.add_argument("target", type=Path, metavar="FILE.png|DIR")
    photo.set_defaults(run=_sample_photo)


def _convert(arguments: argparse.Namespace) -> int:
    from fer_host.bundle.job import Choices
    from fer_host.pipeline import ConvertRequest, convert
    from fer_host.quantize.shipped import MixedBudget
    from fer_host.recipe.of_file import FileInput

    if (arguments.labels is None) != (arguments.input is None):
        raise HostError("--labels, --input: expected both for a network's file, found one of them")
    given = None
    if arguments.labels is not None:
        given = FileInput(arguments.labels, arguments.input, arguments.crop_px)
    choices = Choices(arguments.percentile, tuple(arguments.keep_float), arguments.accept_loss)
    model = arguments.model
    if (arguments.budget_ms is None) != (arguments.latency is None):
        raise HostError("budget: expected BUDGET_MS and LATENCY together, found one of them")
    if arguments.latency is not None:
        from fer_host.boards.budget import within_ms

        model = within_ms(model, arguments.budget_ms, arguments.latency, arguments.quiet)
    convert(
        ConvertRequest(
            model=model,
            variant=arguments.variant,
            calib=arguments.calib,
            weights=arguments.weights,
            data=arguments.data,
            out=arguments.out,
            quiet=arguments.quiet,
            budget=MixedBudget(arguments.budget_kib, arguments.compression),
            tuned=arguments.tuned,
            given=given,
            choices=choices,
        )
    )
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from fer_host.export.accelerator import load_accelerator
    from fer_host.export.export import ExportRequest, export
    from fer_host.export.operators import lines_of
    from fer_host.export.readme import commands

    model, name = arguments.model, arguments.accelerator
    request = ExportRequest(
        model, name, arguments.out, arguments.weights, arguments.calib, arguments.n, arguments.quiet
    )
    done = export(request)
    if arguments.quiet:
        return 0
    accelerator = load_accelerator(name)
    print(f"{done.path}: {done.document.form}; {accelerator.title}")
    for line in lines_of(done.checked):
        print(f"  {line}")
    n = len(done.checked.placed)
    print(f"  {n - len(done.checked.elsewhere)} of {n} operators are in the table of {accelerator.compiler}")
    print(f"  {accelerator.tried}")
    print(f"compile it in {done.path}:")
    for command in commands(accelerator, done.document.network):
        print(f"  {command}")
    return 0


def _builtin(arguments: argparse.Namespace) -> int:
    from fer_host.builtin import make_builtin

    bundle, is_new = make_builtin()
    print(f"built-in bundle: {bundle.path}{'' if is_new else ' is as the shipped weights make it; nothing to do'}")
    return 0


def _pack(arguments: argparse.Namespace) -> int:
    from fer_host.pack import pack

    bundle = arguments.bundle or DIST / arguments.model
    print(pack(bundle, DIST, arguments.target, arguments.offline, arguments.sign))
    return 0


def _package(arguments: argparse.Namespace) -> int:
    from fer_host import __version__
    from fer_host.files.paths import BUILD
    from fer_host.pack.release import make_release
    from fer_host.pipeline import ConvertRequest, convert

    models = arguments.models or ["hawqc_mbv2", "fer48"]
    bundles = [convert(ConvertRequest(model, out=BUILD / "release" / model)).bundle.path for model in models]
    out = arguments.out or DIST / f"release-{__version__}"
    print(make_release(bundles, arguments.target, out, arguments.sign))
    return 0


def _probes(arguments: argparse.Namespace) -> int:
    from fer_host.boards.probes import probes_of

    document, target = probes_of(arguments.bundles, arguments.variant, arguments.out)
    print(f"{target}: {len(document.rows)} operators of {', '.join(document.networks)}")
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from fer_host.boards.report import as_markdown, read_all, write_report

    if arguments.out is None:
        print(as_markdown(read_all(arguments.files), ()), end="")
        return 0
    for path in write_report(arguments.files, arguments.out):
        print(path)
    return 0


def _models(arguments: argparse.Namespace) -> int:
    import dataclasses
    import json

    from fer_host.zoo.listing import SCHEMA, ablation_rows, format_table, paper_recipe_rows, paper_rows, recipe_rows

    recipes, papers, own, left_out = recipe_rows(), paper_rows(), paper_recipe_rows(), ablation_rows()
    if arguments.json:
        rows = {"recipes": recipes, "papers": papers, "paper_recipes": own}
        document = {name: [dataclasses.asdict(row) for row in listed] for name, listed in rows.items()}
        print(json.dumps({"schema": SCHEMA, **document, "ablations": left_out}, indent=2))
    else:
        print(format_table(recipes, papers, own, left_out))
    return 0


def _sample_photo(arguments: argparse.Namespace) -> int:
    from fer_host.bundle.golden import write_sample_photos

    for path in write_sample_photos(arguments.target):
        print(path)
    return 0
