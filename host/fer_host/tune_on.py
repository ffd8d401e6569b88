"""``fer-host tune-on``: a user's photos to a bundle: tuned, judged on persons it never saw, converted."""

from __future__ import annotations

import dataclasses
import shlex
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_edge.contract.bundle import Bundle
from fer_edge.contract.errors import SchemaError
from fer_edge.contract.labels import check_labels
from fer_edge.contract.manifest import License
from fer_edge.contract.names import is_plain_name
from fer_host.bundle.job import Choices
from fer_host.calibration.faces import CalibrationFaces, faces_from_rows
from fer_host.data.faces import ALL, TRAINING, FaceData
from fer_host.data.own import load_own
from fer_host.errors import DataError, GateError, RecipeError
from fer_host.evaluate.answers import Pictures, pictures_of
from fer_host.evaluate.evaluate import predict
from fer_host.evaluate.intervals import wilson
from fer_host.evaluate.metrics import Scores, score
from fer_host.files.artifacts import write_bytes
from fer_host.models.weights import load_network, save_weights
from fer_host.pipeline import ConvertRequest, convert
from fer_host.recipe.places import check_pattern
from fer_host.recipe.recipe import Recipe, load_recipe
from fer_host.recipe.write import recipe_toml
from fer_host.train.machine import machine
from fer_host.train.report import write_card_for
from fer_host.train.rows import validation_split
from fer_host.train.run import gray_crops
from fer_host.train.tune import Tuned, judged_rows, parted, scores_after, scores_before, tune, tuned_recipe

_LEAST_PHOTOS = 24
BUNDLE = "bundle"  # in the folder of what was made


@dataclass(frozen=True)
class TuneRequest:
    """One ``fer-host tune-on``.

    Attributes:
        data: a folder of photos by label, or a CSV; see ``data.own``.
        source: the recipe whose network is tuned.
        out: the folder of all that is made; None takes ./NAME.
        name: of the new network; None takes the data's with ``_tuned``.
        person: pattern of a file's name for the person; empty guesses.
        seed: of the draw of persons and of training.
        limit_min: minutes of training at most.
        accept_loss: see ``Choices.accept_loss``.
        quiet: print the table only.
    """

    data: Path
    source: str = "hawqc_mbv2"
    out: Path | None = None
    name: str | None = None
    person: str = ""
    seed: int = 1
    limit_min: float = 8.0
    accept_loss: float | None = None
    quiet: bool = False


@dataclass(frozen=True)
class TuneResult:
    """What came of it; scores are of the held-out rows, ``before`` None where the source lacks a label."""

    recipe: Recipe
    data: FaceData
    before: Scores | None
    after: Scores
    minutes: float
    bundle: Bundle | None = None
    device: Scores | None = None


def tune_on(request: TuneRequest) -> TuneResult:
    """Tunes, converts and scores; everything lies in one folder, the bundle in its ``bundle``.

    Raises:
        HostError: data, a source or a place that cannot be used; or a gate of ``convert``.
    """
    started = time.monotonic()
    name = request.name or _plain(request.data)
    out = request.out or Path(name)
    if not is_plain_name(name):
        raise RecipeError(f"--name {name!r}: expected letters, digits, '.', '_', '+' and '-', a letter or digit first")
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / f"{name}.toml").is_file())):
        raise RecipeError(f"--out {out}: is there and not by tune-on of {name}; expected a new folder")

    def say(line: str) -> None:
        if not request.quiet:
            print(line, flush=True)

    recipe, data, tuned = train_on(request, name, out, say)
    result = _judged(recipe, data, tuned, load_recipe(request.source))
    held_out = data.select(data.usage != TRAINING)
    table = out / f"{name}.table.md"
    try:
        converted = convert(
            ConvertRequest(
                recipe.origin,
                faces=_faces(recipe, data),
                pictures=_pictures(recipe, held_out),
                out=out / BUNDLE,
                choices=Choices(accept_loss=request.accept_loss),
                quiet=request.quiet,
            )
        )
    except GateError as error:  # what training made is not lost with it
        write_bytes(table, format_table(result, request.source).encode())
        again = f"fer-host convert {shlex.quote(recipe.origin)} --calib PHOTOS --out {shlex.quote(str(out / BUNDLE))}"
        raise GateError(f"{error}. Weights and table stay in {out}; these flags go to `{again}`") from error
    rows, bundle = judged_rows(data), converted.bundle
    variant = bundle.manifest.variant()
    probabilities = predict(bundle, variant, list(rows.images))
    minutes = (time.monotonic() - started) / 60
    device = score(probabilities, rows.labels("own"))
    result = dataclasses.replace(result, bundle=bundle, device=device, minutes=minutes)
    write_bytes(table, format_table(result, request.source).encode())
    return result


def train_on(request: TuneRequest, name: str, out: Path, say: Callable[[str], None]) -> tuple[Recipe, FaceData, Tuned]:
    """Everything up to the conversion: recipe, weights, card and confusion matrix in ``out``.

    Returns:
        The recipe as it was loaded from there, its data by ``parted``, and what training left.
    """
    source = load_recipe(request.source)
    if source.labels == "identities":
        raise RecipeError(f"recipe {source.id}: tells people apart; expected one with expressions to tune")
    load_network(source)  # its weights are there
    try:
        check_pattern(request.person)
    except SchemaError as error:
        raise RecipeError(f"--person: {str(error).partition(': ')[2]}") from error
    listed = load_own(request.data, (), request.person)
    check_labels(listed.own_names)
    n_persons = len(set(listed.subject.tolist()))
    if listed.persons_known and n_persons < 3 and set(listed.usage.tolist()) == {ALL}:
        raise DataError(
            f"data {request.data}: photos of {n_persons} persons, expected 3 or more, to train, choose and judge on "
            "different ones; leave out the column person (or --person) to part the photos, which flatters the result"
        )
    if len(listed) < _LEAST_PHOTOS:
        raise DataError(f"data {request.data}: {len(listed)} photos, expected {_LEAST_PHOTOS} or more to tune on")
    made = tuned_recipe(source, name, listed.own_names, len(listed), request.seed, request.person)
    terms = License("tuning data", "LicenseRef-not-stated", f"{len(listed)} photos of the user's own")
    made = dataclasses.replace(made, licenses=(*made.licenses, terms))
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(out / f"{name}.toml", f"# By fer-host tune-on, from {source.id}.\n{recipe_toml(made)}".encode())
    recipe = load_recipe(str(out / f"{name}.toml"))
    data = parted(gray_crops(recipe, request.data, quiet=request.quiet), request.seed)
    lost = len(listed) - len(data)
    if lost:
        say(f"no face found in {lost} of {len(listed)} photos; they are left out")
    say(_split_in_words(data))
    weights = out / f"{name}.safetensors"
    with tempfile.TemporaryDirectory() as state:
        tuned = tune(recipe, data, Path(state), say, request.limit_min)
        pruned_from = source.id if source.prune is not None else None
        save_weights(load_network(recipe, tuned.weights), weights, pruned_from=pruned_from)
    write_card_for(recipe, weights, data, list(tuned.curve), tuned.minutes)
    return recipe, data, dataclasses.replace(tuned, weights=weights)


def _judged(recipe: Recipe, data: FaceData, tuned: Tuned, source: Recipe) -> TuneResult:
    rows = judged_rows(data)
    return TuneResult(
        recipe, data, scores_before(source, recipe, rows), scores_after(recipe, tuned.weights, rows), tuned.minutes
    )


def _plain(data: Path) -> str:
    stem = data.resolve().stem
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._+-") else "_" for c in stem).lstrip("._+-")
    return f"{plain[:50]}_tuned" if plain else "tuned"


def _faces(recipe: Recipe, data: FaceData) -> CalibrationFaces:
    """The Training faces that give the int8 ranges."""
    return faces_from_rows(data, recipe.labels, 256, 1, source="the tuning photos")


def _pictures(recipe: Recipe, rows: FaceData) -> Pictures:
    names = [recipe.label_names[i] for i in rows.labels("own")]
    return pictures_of(recipe, list(rows.images), names, f"{len(rows)} held-out faces")


def _split_in_words(data: FaceData) -> str:
    held = judged_rows(data)
    parts = {"trained on": data.select(data.usage == TRAINING), "chosen on": validation_split(data), "judged on": held}
    persons = {
        key: f" of {len(np.unique(rows.subject))} persons" if data.persons_known else "" for key, rows in parts.items()
    }
    shown = ", ".join(f"{key} {len(rows)} faces{persons[key]}" for key, rows in parts.items())
    return shown if data.persons_known else f"{shown} (persons not known: one may be on both sides; see --person)"


def format_table(result: TuneResult, source: str) -> str:
    """Before and after on the rows that nothing was chosen on, with what so few can tell."""
    rows = judged_rows(result.data)
    persons = f", {len(np.unique(rows.subject))} persons" if result.data.persons_known else ""
    lines = [f"{result.recipe.id}: {len(rows)} held-out faces{persons}, {', '.join(result.recipe.label_names)}", ""]
    lines += ["| network | accuracy | 95% interval | macro-F1 |", "|---|---|---|---|"]
    variant = "" if result.bundle is None else result.bundle.manifest.default_variant
    named = {f"{source} as it ships": result.before, "tuned, float": result.after, f"tuned, {variant}": result.device}
    for name, scores in named.items():
        if scores is None:
            lines += [f"| {name} | - | it lacks a label | - |"] if name.startswith(source) else []
            continue
        low, high = wilson(round(scores.accuracy * scores.n), scores.n)
        lines.append(f"| {name} | {scores.accuracy:.1%} | {low:.1%} to {high:.1%} | {scores.macro_f1:.3f} |")
    lines += ["", f"{result.minutes:.1f} minutes on {machine(result.recipe)}."]
    return "\n".join(lines) + "\n"
