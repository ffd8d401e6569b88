"""``fer-edge doctor --report``: what a user can send, as one zip of plain texts. No picture, no secret, no host name.

``tree.txt`` has the form of tests/device/trees: a report can become a test.
"""

from __future__ import annotations

import getpass
import importlib.metadata
import os
import platform
import re
import socket
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from fer_edge import __version__
from fer_edge.board.commands import Run
from fer_edge.board.identify import read_text
from fer_edge.contract.bounds import REPORT_FILE_BYTES as _MAX_FILE
from fer_edge.contract.whole import whole_file
from fer_edge.errors import UsageError
from fer_edge.setting import tuned

# what fer-edge itself reads, and nothing else
FILES = (
    "proc/cpuinfo",
    "proc/meminfo",
    "proc/swaps",
    "proc/cgroups",
    "proc/device-tree/model",
    "proc/device-tree/compatible",
    "proc/sys/kernel/arch",
    "proc/sys/kernel/osrelease",
    "etc/nv_tegra_release",
    "etc/os-release",
    "sys/class/dmi/id/sys_vendor",
    "sys/class/dmi/id/product_name",
    "sys/fs/cgroup/cgroup.controllers",
    "sys/class/thermal/thermal_zone*/type",
    "sys/class/thermal/thermal_zone*/temp",
    "sys/class/hwmon/hwmon*/name",
    "sys/class/hwmon/hwmon*/*_label",
    "sys/class/hwmon/hwmon*/*_input",
    "sys/class/hwmon/hwmon*/*_alarm",
    "sys/class/hwmon/hwmon*/oc*_event_cnt",
    "sys/class/hwmon/hwmon*/shunt_resistor",
    "sys/bus/i2c/drivers/ina3221*/*/iio:device*/rail_name_*",
    "sys/bus/i2c/drivers/ina3221*/*/iio:device*/in_*_input",
    "sys/bus/i2c/drivers/ina3221*/*/hwmon/hwmon*/in*_*",
    "sys/bus/i2c/drivers/ina3221*/*/hwmon/hwmon*/curr*_*",
    "sys/class/powercap/intel-rapl:*/name",
    "sys/class/powercap/intel-rapl:*/max_energy_range_uj",
    "sys/class/powercap/intel-rapl:*/energy_uj",
    "sys/devices/system/cpu/cpufreq/policy*/scaling_*",
    "sys/devices/system/cpu/cpufreq/policy*/cpuinfo_max_freq",
    "sys/class/video4linux/video*/name",
    "sys/class/video4linux/video*/index",
)
COMMANDS = (("vcgencmd", "get_throttled"), ("vcgencmd", "pmic_read_adc"), ("nvpmodel", "-q"))
PACKAGES = re.compile(
    r"fer[-_]edge|numpy|opencv.*|ai[-_]edge[-_]litert|tflite[-_]runtime|tensorflow|picamera2|paho[-_]mqtt|simplejpeg|pip",
    re.I,
)
_SERIALS = re.compile(r"^(Serial\s*:).*$", re.MULTILINE)
_COMMON_NAMES = {"localhost", "raspberrypi", "ubuntu", "jetson", "nano", "root", "pi"}  # words, more than anyone's name


def pack(target: Path, doctor_json: str, root: Path, run: Run) -> list[str]:
    """Writes the zip; gives the names in it.

    Args:
        target: the .zip to write; the file is there whole or not at all.
        doctor_json: the ``fer-edge/doctor/1`` document.
        root: of /proc, /sys and /etc.
        run: runs the commands.

    Raises:
        UsageError: no such folder, or another ending.
    """
    if target.suffix != ".zip" or not target.parent.is_dir():
        raise UsageError(f"--report {target}: expected the path of a .zip file in a folder that is there")
    contents = {
        "doctor.json": doctor_json,
        "tree.txt": "\n".join(_tree(root, run)) + "\n",
        "packages.txt": "\n".join(_packages()) + "\n",
    }
    for path in tuned.files():
        text = read_text(path)
        if text:
            contents.setdefault("tune.json", text)
    names = _private_names()
    listing = "".join(f"{name}: {_WORDS[name]}\n" for name in contents)
    contents["README.txt"] = (
        f"fer-edge {__version__} doctor report. Texts only; host and user names replaced, serial numbers left out.\n"
        f"{listing}"
    )
    with whole_file(target) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, text in contents.items():
            archive.writestr(inside, scrub(text, names))
    return list(contents)


_WORDS = {
    "doctor.json": "what fer-edge doctor found",
    "tree.txt": "the files of /proc and /sys that fer-edge reads (board, sensors, clocks, cameras' names)",
    "packages.txt": "Python and the packages that matter here",
    "tune.json": "what fer-edge tune found",
}


def scrub(text: str, names: Iterable[tuple[str, str]]) -> str:
    """A text without serial numbers, addresses of network cards, and these names (name, word in its place)."""
    text = _SERIALS.sub(r"\1 <left out>", text)
    text = re.sub(r"\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b", "<address>", text)
    for name, word in names:
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", word, text)
    return text


def _private_names() -> list[tuple[str, str]]:
    """This machine's and this user's, where they are names and no common words; longest first."""
    found = [(socket.gethostname(), "<host>"), (socket.getfqdn(), "<host>"), (platform.node(), "<host>")]
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a service's user without a name
        user = ""
    home = os.environ.get("HOME", "")
    found += [(user, "<user>"), (home if home not in ("", "/", "/root") else "", "<home>")]
    kept = {name: word for name, word in found if len(name) > 2 and name.lower() not in _COMMON_NAMES}
    return sorted(kept.items(), key=lambda pair: -len(pair[0]))


def _tree(root: Path, run: Run) -> Iterator[str]:
    for line in COMMANDS:
        try:
            yield f".commands/{' '.join(line)}\t{_escaped(run(*line))}"
        except OSError:
            continue
    for pattern in FILES:
        for path in sorted(root.glob(pattern)):
            if path.is_file():
                text = _SERIALS.sub(r"\1 <left out>", read_text(path))[:_MAX_FILE]
                yield f"{path.relative_to(root)}\t{_escaped(text)}"


def _escaped(text: str) -> str:
    for plain, written in (("\\", "\\\\"), ("\n", "\\n"), ("\t", "\\t"), ("\0", "\\0")):
        text = text.replace(plain, written)
    return text


def _packages() -> Iterator[str]:
    yield f"python {platform.python_version()} {platform.machine()} {platform.libc_ver()[1]}"
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"] or ""
        if PACKAGES.fullmatch(name):
            yield f"{name} {distribution.version}"
