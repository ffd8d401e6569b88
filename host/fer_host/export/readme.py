"""README.md of an export: what is in the folder, the compiler's commands, how the device feeds the network."""

from __future__ import annotations

from collections.abc import Iterator

from fer_edge.contract.labels import LabelSet
from fer_edge.contract.specs import AlignSpec, InputSpec, TensorSpec
from fer_host.export.accelerator import Accelerator
from fer_host.export.document import ExportDoc
from fer_host.export.operators import Checked

_COLOR = {
    "gray": "one channel, gray: 0.299 R + 0.587 G + 0.114 B",
    "gray3": "gray (0.299 R + 0.587 G + 0.114 B), the same in three channels",
    "rgb": "three channels, R, G, B",
}
_LIGHT = {
    "standardize": "v = (v - m) / (s + 0.02), with mean m and standard deviation s over this crop alone (all channels)",
    "stretch": "v = (v - low) / max(high - low, 0.02), cut to 0..1; low, high: 1st, 99th percentile of this crop alone",
}


def readme(document: ExportDoc, accelerator: Accelerator, checked: Checked) -> str:
    """The page as Markdown."""
    lines = [
        f"# {document.network} for {accelerator.title}",
        "",
        f"Made by `fer-host export {document.network} --for {accelerator.id}`; {accelerator.boards}.",
        f"**{_sentence(accelerator.tried)}**",
        "",
        "## Compile",
        "",
        f"In this folder, with {accelerator.compiler} ({accelerator.version}):",
        "",
        "```sh",
        *commands(accelerator, document.network),
        "```",
        *(line for note in accelerator.notes for line in ("", _filled(note, document.network))),
        "",
        "## Feed it",
        "",
        f"{document.form}. Nothing of what follows is in the network: the device does it for each face.",
        "",
        *_numbered(feeding(document.align, document.input, document.input_hw, document.tensors)),
        "",
        "`check.npz` holds crops (RGB, 8 bits), the `inputs` that these steps make of them, and the `logits` of the "
        "network in float32: compare your code's inputs first, then the accelerator's logits.",
        "",
        "## Read it",
        "",
        *_numbered(reading(document.label_sets, document.tensors)),
        "",
        "## Operators",
        "",
        f"{len(checked.placed)}: " + ", ".join(f"{n} {name}" for name, n in checked.counts.items()) + ".",
        "",
        *_elsewhere(accelerator, checked),
        "",
        f"Checked against: {accelerator.source} ({accelerator.read}).",
        "",
        "## Calibration",
        "",
        f"{_sentence(document.calibration)}",
        "",
    ]
    return "\n".join(lines)


def commands(accelerator: Accelerator, network: str) -> list[str]:
    """The compiler's commands, to be run in the folder."""
    return [_filled(command, network) for command in accelerator.commands]


def feeding(
    align: AlignSpec, spec: InputSpec, input_hw: tuple[int, int], tensors: tuple[TensorSpec, ...]
) -> Iterator[str]:
    """From a picture to the network's input, one step a line."""
    points = ", ".join(
        f"{name.replace('_', ' ')} at ({x:g}, {y:g})"
        for name, (x, y) in zip(align.landmarks, align.template, strict=True)
    )
    yield (
        f"Crop: the similarity (turn, scale, shift) that brings the face's landmarks nearest to {points}, in a crop of "
        f"{align.crop_hw[1]}x{align.crop_hw[0]} px; pixel centers are at .5, right and left are the subject's."
    )
    yield f"Color: {_COLOR[spec.color]}."
    yield (
        f"Size: down to {spec.source_px}x{spec.source_px} by the mean of what a pixel covers, {spec.interpolation} "
        f"to {input_hw[1]}x{input_hw[0]} (the same size needs nothing); v = value / 255."
    )
    if spec.normalize in _LIGHT:
        yield f"Light: {_LIGHT[spec.normalize]}."
    if any(spec.mean) or any(each != 1 for each in spec.std):
        yield f"Normalize: v = (v - mean) / std, by channel: mean {_listed(spec.mean)}, std {_listed(spec.std)}."
    if tensors:
        given = tensors[0]
        yield (
            f"Quantize: q = round(v / {given.scale!r}) + {given.zero_point}, cut to -128..127, as int8 "
            "(height, width, channels)."
        )
    else:
        yield (
            "Layout: the ONNX file takes (1, channels, height, width); `inputs` and `calibration.npy` are "
            "(n, height, width, channels)."
        )


def reading(sets: tuple[LabelSet, ...], tensors: tuple[TensorSpec, ...]) -> Iterator[str]:
    """From the network's output to probabilities, one step a line."""
    if tensors:
        yield f"logit = (q - {tensors[1].zero_point}) * {tensors[1].scale!r}."
    for each in sets:
        first, end = each.slice
        heat = each.calibration.temperature if each.calibration is not None else 1
        divided = f"divided by the temperature {heat:g}, then " if heat != 1 else "not calibrated: "
        yield f"Label set {each.id}: outputs {first} to {end - 1}, {divided}softmax: {', '.join(each.labels)}."


def _elsewhere(accelerator: Accelerator, checked: Checked) -> list[str]:
    if not checked.elsewhere:
        return [f"All are in the table of {accelerator.compiler}; none is left to the CPU."]
    lines = [f"Not on the accelerator ({accelerator.elsewhere}):", "", "| operator | why |", "|---|---|"]
    return lines + [f"| {each.operator.index} {each.operator.type} | {each.reason} |" for each in checked.elsewhere]


def _numbered(lines: Iterator[str]) -> list[str]:
    return [f"{i}. {line}" for i, line in enumerate(lines, 1)]


def _filled(text: str, network: str) -> str:
    return text.replace("{id}", network)


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
