"""What an archive is made of: every wheel, network and other file, each with its terms and its digest.

LICENSES.txt (licenses.py) and the CycloneDX document (sbom.py) are two ways to write this list.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Literal

from fer_edge.contract.bundle import DIGEST_NAME, MANIFEST_NAME
from fer_edge.contract.manifest import License, Manifest, loads
from fer_host.errors import RecipeError
from fer_host.pack.wheels import metadata
from fer_host.recipe.recipe import load_detector

Kind = Literal["wheel", "library", "network", "data", "file"]
OWN_LICENSE = "Apache-2.0"
# How packages say it in words, in SPDX' short names. "BSD License" has several meanings and stays as it is.
SPDX = {
    "Apache Software License": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "MIT License": "MIT",
    "3-Clause BSD License": "BSD-3-Clause",
}
GOLDEN = License(  # the pictures of bundle/golden.py
    "golden vectors",
    f"LicenseRef-public-domain AND {OWN_LICENSE}",
    "crops of NASA's portrait of Eileen Collins (scikit-image), the US Navy's of Grace Hopper (matplotlib), both "
    "public domain, and of faces that fer-edge draws",
)


@dataclass(frozen=True)
class Part:
    """One thing in an archive.

    Attributes:
        name: a package's name, else the file's path inside the archive or wheel.
        version: of a package; "" for files.
        license: an SPDX expression, or the words of who made it.
        origin: where it comes from, in words; "" where the name says it.
        path: of the file, inside the archive (or, for what is inside a wheel, inside that).
        sha256: of the file.
        inside: what a wheel brings that is not its own: shared libraries, networks.
    """

    kind: Kind
    name: str
    version: str
    license: str
    origin: str
    path: str
    sha256: str
    inside: tuple[Part, ...] = ()


def archive_parts(folder: Path, manifest: Manifest) -> list[Part]:
    """Every file of an unpacked archive by its path, but for the documents about the archive itself.

    Args:
        folder: with the bundle, the wheels and the installer.
        manifest: of the bundle.

    Raises:
        PackError: a wheel cannot be read.
    """
    own = [
        _file(folder, name, License("", OWN_LICENSE, "fer-edge"), "file")
        for name in ("fer-edge.service", "install.sh")
        if (folder / name).is_file()
    ]
    bundle = bundle_parts(manifest, "bundle/", lambda name: (folder / name).read_bytes())
    wheels = [wheel_part(path, folder) for path in sorted(folder.rglob("*.whl"))]
    return sorted([*own, *bundle, *wheels], key=lambda part: part.path)


def bundle_parts(manifest: Manifest, prefix: str, read: Callable[[str], bytes]) -> Iterator[Part]:
    """The bundle's files; ``prefix`` goes before a path, and ``read`` gives the bytes of such a one."""
    terms = _terms(manifest)
    for role, entry in sorted(manifest.files.items()):
        license = terms.get(role, terms["*"])
        kind: Kind = "data" if role == manifest.golden.file else "network"
        name = prefix + entry.path
        yield Part(kind, name, manifest.version, license.license, license.origin, name, entry.sha256)
    for name in (DIGEST_NAME, MANIFEST_NAME):
        digest = hashlib.sha256(read(prefix + name)).hexdigest()
        yield Part("data", prefix + name, manifest.version, OWN_LICENSE, "fer-edge", prefix + name, digest)


def wheel_part(path: Path, folder: Path) -> Part:
    """A wheel with what it brings of others: shared libraries (``*.libs``) and a bundle of ours."""
    about = metadata(path)
    name, license = about["Name"], wheel_license(about)
    origin = "fer-edge" if name == "fer-edge" else "pypi.org, unchanged"
    with zipfile.ZipFile(path) as archive:
        inside = [
            Part("library", entry.rpartition("/")[2], "", f"see {_terms_files(about)}", "", entry, digest)
            for entry in sorted(archive.namelist())
            if ".libs/" in entry and ".so" in entry
            for digest in [hashlib.sha256(archive.read(entry)).hexdigest()]
        ]
        for entry in sorted(archive.namelist()):
            if entry.endswith(f"/{MANIFEST_NAME}"):
                place = entry.removesuffix(MANIFEST_NAME)
                manifest = loads(archive.read(entry))
                inside += bundle_parts(manifest, place, archive.read)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    place = path.relative_to(folder).as_posix()
    return Part("wheel", name, about["Version"], license, origin, place, digest, tuple(inside))


def wheel_license(about: Message) -> str:
    """A wheel's terms as its METADATA tells them: an expression, a short text, or the classifiers."""
    classified = [line for line in about.get_all("Classifier", []) if line.startswith("License ::")]
    terms = about.get("License-Expression") or (about.get("License") or "").strip().partition("\n")[0]
    if not terms or terms.startswith("Copyright"):
        names = [line.rpartition(" :: ")[2] for line in classified]
        return "; ".join(SPDX.get(name, name) for name in names) or "see the wheel"
    return SPDX.get(terms, terms)


def _terms(manifest: Manifest) -> dict[str, License]:
    """The terms of a bundle's files by role; ``*`` stands for the networks, which the recipe names."""
    said = {license.component: license for license in manifest.licenses}
    found = {manifest.golden.file: GOLDEN}
    for spec in (manifest.detector, *manifest.other_detectors):
        try:
            ours = load_detector(spec.id).license
        except RecipeError:  # of a newer or another kit: its terms are among those of the networks
            continue
        found |= dict.fromkeys(spec.roles, said.pop(ours.component, ours))
    rest = list(said.values())
    terms = " AND ".join(sorted({license.license for license in rest})) or "NOASSERTION"
    return {**found, "*": License("networks", terms, "; ".join(license.origin for license in rest))}


def _terms_files(about: Message) -> str:
    names = about.get_all("License-File", [])
    third = [name for name in names if "3RD" in name.upper() or "BUNDLED" in name.upper()] or names
    return ", ".join(third) + " in the wheel" if third else "the license files in the wheel"


def _file(folder: Path, name: str, license: License, kind: Kind) -> Part:
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return Part(kind, name, "", license.license, license.origin, name, digest)
