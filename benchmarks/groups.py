"""Does a bundle answer as well for one group of people as for another? The London portraits by age, gender, ethnicity.

    python benchmarks/groups.py dist/hawqc_mbv2 ../shared/data/faces_london

Writes benchmarks/results/groups.json and docs/groups.md. 50 people, one neutral and one smiling photo each.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fer_edge.contract import codec
from fer_edge.contract.bundle import open_bundle
from fer_edge.contract.evaluate import Group
from fer_host.evaluate.evaluate import evaluate
from fer_host.evaluate.groups import by_group, format_groups, read_groups
from fer_host.evaluate.judged import Judged

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "groups.json"
PAGE = ROOT / "docs" / "groups.md"


def measure(bundle_path: Path, data: Path) -> dict[str, object]:
    """The figures as they are kept."""
    judged: list[Judged] = []
    bundle = open_bundle(bundle_path)
    document = evaluate(bundle, data, "ferplus8", keep=judged.append)
    groups = by_group(judged[0], read_groups(data / "people.csv", judged[0].images))
    return {
        "model": bundle.manifest.model_id,
        "variant": document.variant,
        "data": "50 people of the Face Research Lab London Set, neutral and smiling (DeBruine, Jones 2017)",
        "n": document.n,
        "accuracy": document.accuracy,
        "groups": [codec.encode(group) for group in groups],
    }


def page(found: dict[str, object]) -> str:
    """The page about them."""
    listed: list[dict[str, object]] = found["groups"]  # type: ignore[assignment]  # as ``measure`` wrote it
    groups = tuple(codec.decode(Group, each, "group") for each in listed)
    small = min(groups, key=lambda group: group.n)
    return f"""<!-- made by benchmarks/groups.py from benchmarks/results/groups.json -->
# Answers by group of people

After this page you know how the shipped network answers for people of different age, gender and ethnicity, what these
figures cannot tell, and how to make the same table for your own network and photos.

Network: {found["model"]} ({found["variant"]}). Photos: {found["data"]}.

{found["accuracy"]:.1%} of n = {found["n"]} photos are right, out of eight emotions to choose from. Age, gender and
ethnicity are as published with the set. Columns with the largest difference come first.

{format_groups(groups)}
## What these figures cannot tell

- There are 50 people. The smallest group has {small.n} photos ({small.column}: {small.value}), of half as many people:
  its interval reaches from {small.interval[0]:.0%} to {small.interval[1]:.0%}. A true difference of ten points does not
  show here.
- The interval takes every photo for a draw of its own. Two photos of one person are not; the true intervals are wider.
- All are portraits: frontal, one light, posed, adults. Other light, other angles and unposed faces are not in it.
- Two expressions of eight. Nothing is said about anger, fear or sadness.
- Groups overlap: a difference by age may be one by gender, and 50 people are too few to part them.

## The same for your photos

A table says who is in which group: a column `image` (path or name of the photo) or `person` (what the file's name
starts with), and a column for each way to group. Numbers of many values become thirds.

<!-- run by: tests/host/evaluate/test_outputs.py -->
```sh
fer-host evaluate dist/hawqc_mbv2 --data photos --groups people.csv --groups-plot groups.png
```
"""


def main() -> None:
    """Measures and writes both files; ``--page`` writes the page from the figures that are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--page", action="store_true", help="only write the page, from the figures that are kept")
    arguments = parser.parse_args()
    if not arguments.page:
        found = measure(arguments.bundle, arguments.data)
        RESULT.write_text(json.dumps(found, indent=1) + "\n")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(json.loads(RESULT.read_text())))


if __name__ == "__main__":
    main()
