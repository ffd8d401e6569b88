"""``fer-host`` commands that need a data set: train, kfold, evaluate, explain, calibrate, geometry, release.

Heavy imports stay inside the functions.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fer_edge.contract.labels import PROTOCOLS
from fer_host.commands.options import add_data, given_data, positive, recipe_to_train
from fer_host.errors import RecipeError
from fer_host.files.paths import BUILD


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds them to the parser."""
    train = commands.add_parser("train", help="train a recipe; a killed run resumes")
    train.add_argument("model", metavar="RECIPE")
    add_data(train)
    train.add_argument("--out", type=Path, metavar="FILE", help=".safetensors to write (default: host/zoo)")
    train.add_argument("--ablation", metavar="NAME", help="leave something out; `fer-host models` lists the names")
    train.add_argument("--weights", type=Path, metavar="FILE", help="start from these, not as the recipe says")
    train.set_defaults(run=_train)

    tune = commands.add_parser("tune-on", help="fine-tune a network on your own photos, and make a bundle of it")
    tune.add_argument(
        "data", type=Path, metavar="DATA", help="a folder of photos for each label, or a CSV: image,label"
    )
    tune.add_argument("--from", dest="source", default="hawqc_mbv2", metavar="RECIPE", help="whose network is tuned")
    tune.add_argument("--out", type=Path, metavar="DIR", help="folder of all that is made (default: ./NAME)")
    tune.add_argument("--name", metavar="NAME", help="of the new network (default: the data's, _tuned)")
    tune.add_argument("--person", default="", metavar="REGEX", help="the person in a file's name: its first group")
    tune.add_argument("--seed", type=positive, default=1, help="of the draw of persons, and of training")
    tune.add_argument("--minutes", type=float, default=8.0, metavar="MIN", help="of training at most (default: 8)")
    tune.add_argument("--accept-loss", type=float, metavar="SHARE", help="as for convert: int8 may lose this much")
    tune.add_argument("--quiet", action="store_true", help="print the table alone")
    tune.set_defaults(run=_tune_on)

    kfold = commands.add_parser("kfold", help="train a recipe once per fold; mean and standard deviation over them")
    kfold.add_argument("model", metavar="RECIPE")
    kfold.add_argument("--data", type=Path, required=True, metavar="PATH", help="npz, CSV, or a data set's folder")
    kfold.add_argument("--folds", type=positive, default=10, metavar="K")
    kfold.add_argument(
        "--by",
        choices=("subject", "sequence", "leaky"),
        default="subject",
        help="what stays together; leaky is for comparison with papers that shuffled near-identical frames",
    )
    kfold.add_argument("--seed", type=positive, default=1, help="of the folds")
    kfold.add_argument("--ten-crop", action="store_true", help="score by ten crops of each face, as some papers do")
    kfold.add_argument("--out", type=Path, metavar="FILE", help="a fer-edge/kfold/1 document to write")
    kfold.set_defaults(run=_kfold)

    evaluate = commands.add_parser("evaluate", help="a bundle's accuracy through the device's own code")
    evaluate.add_argument("bundle", type=Path, metavar="BUNDLE")
    evaluate.add_argument("--data", type=Path, required=True, metavar="PATH", help="npz, CSV, or a data set's folder")
    evaluate.add_argument("--labels", choices=(*PROTOCOLS, "own"), help="default: what the bundle was trained on")
    evaluate.add_argument("--usage", help="split of the set (default: every row that is not Training)")
    evaluate.add_argument("--variant", help="default: the bundle's default variant")
    evaluate.add_argument("--per-class", type=positive, metavar="N", help="a balanced, seeded draw of N a class")
    evaluate.add_argument("--seed", type=positive, default=1)
    evaluate.add_argument("--crops", action="store_true", help="the pictures are face crops already")
    evaluate.add_argument("--occlude", choices=("eyes", "mouth"), help="put a gray bar over this part of every face")
    evaluate.add_argument("--ten-crop", action="store_true", help="average ten crops of each face, as some papers do")
    evaluate.add_argument("--threads", type=positive, default=1)
    evaluate.add_argument("--confusion", type=Path, metavar="FILE.png", help="write the confusion matrix as a picture")
    evaluate.add_argument("--csv", type=Path, metavar="FILE.csv", help="write each picture's label and answer")
    evaluate.add_argument(
        "--wrong", type=Path, metavar="FILE.jpg", help="write the wrong answers as one sheet of faces"
    )
    evaluate.add_argument(
        "--groups", type=Path, metavar="FILE.csv", help="figures by group: columns image (or person) and groups"
    )
    evaluate.add_argument(
        "--groups-plot", type=Path, metavar="FILE.png", help="write the figures by group as a picture"
    )
    evaluate.add_argument("--json", action="store_true", help="print the fer-edge/evaluate/1 document")
    evaluate.set_defaults(run=_evaluate)

    explain = commands.add_parser("explain", help="heat maps over photos: where a network sees an expression")
    explain.add_argument("model", metavar="MODEL", help="a recipe's name, or a TOML file")
    explain.add_argument("photos", type=Path, nargs="+", metavar="PHOTO", help="files, or folders of them")
    explain.add_argument("--out", type=Path, required=True, metavar="DIR")
    explain.add_argument("--weights", type=Path, metavar="FILE", help="your own .safetensors or .pt state dict")
    explain.add_argument("--label", metavar="NAME", help="explain this class (default: the network's answer)")
    explain.add_argument("--method", choices=("grad-cam", "hires-cam"), default="grad-cam")
    explain.add_argument("--map-px", type=positive, default=6, metavar="N", help="the last map of N or more px a side")
    explain.set_defaults(run=_explain)

    calibrate = commands.add_parser("calibrate", help="make a calibration set and its activation ranges")
    calibrate.add_argument("name", metavar="NAME")
    calibrate.add_argument("--data", type=Path, required=True, metavar="NPZ|FOLDER")
    calibrate.add_argument("--model", default="hawqc_mbv2", metavar="RECIPE")
    calibrate.add_argument("--weights", type=Path, metavar="FILE")
    calibrate.add_argument("--tuned", type=Path, metavar="FILE", help="only measure the ranges of these tuned weights")
    calibrate.add_argument("--n", type=positive, default=256, help="faces at most")
    calibrate.add_argument("--seed", type=positive, default=1)
    calibrate.add_argument("--source", default="", help="where the faces come from, for the set's record")
    calibrate.add_argument("--license", default="", help="their licence, for the set's record")
    calibrate.set_defaults(run=_calibrate)

    geometry = commands.add_parser("geometry", help="measure where landmarks lie in FER2013's training images")
    add_data(geometry, "FER2013's npz")
    geometry.add_argument("--n", type=positive, default=2000)
    geometry.add_argument("--seed", type=positive, default=1)
    geometry.add_argument("--detector", default="blazeface_short")
    geometry.set_defaults(run=_geometry)

    release = commands.add_parser("release", help="measure a bundle's variants and write them into the model card")
    release.add_argument("model", metavar="RECIPE")
    add_data(release, "FER2013's npz")
    release.set_defaults(run=_release)


def _train(arguments: argparse.Namespace) -> int:
    from fer_host.recipe.ablations import ablated

    recipe, out, weights = recipe_to_train(arguments.model), arguments.out, arguments.weights
    from fer_host.train.identities import run_identities
    from fer_host.train.run import run_training

    if arguments.ablation:
        recipe = ablated(recipe, arguments.ablation)
        if out is None:  # the zoo holds what ships
            out = BUILD / "ablations" / f"{recipe.id}.safetensors"
            out.parent.mkdir(parents=True, exist_ok=True)
    data = given_data(arguments.data)
    if recipe.labels == "identities":
        if weights is not None:
            raise RecipeError(f"recipe {recipe.id}: tells people apart and starts as it says; expected no --weights")
        print(run_identities(recipe, data, out))
    else:
        print(run_training(recipe, data, out, weights=weights))
    return 0


def _tune_on(arguments: argparse.Namespace) -> int:
    from fer_host.tune_on import TuneRequest, format_table, tune_on

    result = tune_on(
        TuneRequest(
            arguments.data,
            arguments.source,
            arguments.out,
            arguments.name,
            arguments.person,
            arguments.seed,
            arguments.minutes,
            arguments.accept_loss,
            arguments.quiet,
        )
    )
    print(format_table(result, arguments.source))
    return 0


def _kfold(arguments: argparse.Namespace) -> int:
    recipe = recipe_to_train(arguments.model)
    from fer_host.train.kfold import format_fold, format_summary, run_kfold, save, summarize

    data, k, by, seed, ten_crop = arguments.data, arguments.folds, arguments.by, arguments.seed, arguments.ten_crop
    folds = []
    for fold in run_kfold(recipe, data, k, by, seed, ten_crop=ten_crop):
        print(format_fold(fold, k), flush=True)
        folds.append(fold)
    if not folds:  # of several processes, only the leader has scores
        return 0
    document = summarize(recipe, data, by, seed, folds, ten_crop)
    print(format_summary(document))
    if arguments.out:
        save(document, arguments.out)
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    import dataclasses

    import numpy as np

    from fer_edge.contract import evaluate as schema
    from fer_edge.contract.bundle import open_bundle
    from fer_host.errors import DataError
    from fer_host.evaluate.evaluate import evaluate, format_table
    from fer_host.evaluate.groups import by_group, format_groups, plot_groups, read_groups
    from fer_host.evaluate.judged import Judged
    from fer_host.evaluate.outputs import write_rows, write_wrong
    from fer_host.zoo.card import plot_confusion

    if arguments.groups_plot is not None and arguments.groups is None:
        raise DataError("--groups-plot: expected --groups FILE.csv as well")
    bundle, judged = open_bundle(arguments.bundle), list[Judged]()
    own = {each.id for each in bundle.manifest.sets} == {"own"}
    known = "ferplus8" if "contempt" in bundle.manifest.labels else "fer7"
    document = evaluate(
        bundle,
        arguments.data,
        arguments.labels or ("own" if own else known),
        usage=arguments.usage,
        variant_id=arguments.variant,
        per_class=arguments.per_class,
        seed=arguments.seed,
        crops_as_is=arguments.crops,
        occluded=arguments.occlude,
        ten_crop=arguments.ten_crop,
        threads=arguments.threads,
        keep=judged.append,
    )
    text = format_table(document)
    if arguments.groups is not None:
        groups = by_group(judged[0], read_groups(arguments.groups, judged[0].images))
        document, text = dataclasses.replace(document, groups=groups), f"{text}\n{format_groups(groups)}"
        if arguments.groups_plot is not None:
            plot_groups(groups, arguments.groups_plot, f"{bundle.manifest.model_id}, {document.data}")
    if arguments.confusion is not None:
        counts, names = np.array(document.confusion), judged[0].names
        plot_confusion(counts, names, arguments.confusion, f"{bundle.manifest.model_id}, {document.data}")
    if arguments.csv is not None:
        write_rows(judged[0], arguments.csv)
    if arguments.wrong is not None:
        text += f"{write_wrong(judged[0], arguments.wrong)} wrong answers: {arguments.wrong}\n"
    print(schema.dumps(document) if arguments.json else text, end="")
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    from fer_host.errors import DataError
    from fer_host.evaluate.explain import explain
    from fer_host.recipe.recipe import load_recipe

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
    from fer_host.calibrate import calibrate_tuned, make_set

    if arguments.tuned is not None:
        from fer_host.recipe.recipe import load_recipe

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
    from fer_host.detector.geometry import measure

    found = measure(given_data(arguments.data), arguments.n, arguments.seed, arguments.detector)
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

    release(arguments.model, given_data(arguments.data))
    return 0
