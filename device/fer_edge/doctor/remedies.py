"""Every remedy that doctor prints. Where and how each was tried: tests/device/trees/REMEDIES.md (a test compares)."""

from __future__ import annotations

import shlex

OPENCV = "opencv-python-headless>=4.9,<4.12"
LITERT = "ai-edge-litert>=2.1"
ONNX = "onnxruntime>=1.17"

# Commands stand in backquotes. {python} is the interpreter that runs doctor, so the venv need not be active.
REMEDIES = {
    "new-python": "make an environment with Python 3.10 to 3.13, e.g. `python3 -m venv --system-site-packages "
    "~/fer-edge`, and install fer-edge there",
    "64-bit-system": "no tflite interpreter exists for it: write the 64-bit Raspberry Pi OS to the card",
    "32-bit-interpreter": "`{python} -m pip install tflite-runtime {numpy}` (32 bit has no newer one)",
    "pip": "`{python} -m pip install {packages}`",
    "venv-pip": "this Python belongs to the system; make an environment and install fer-edge there: "
    "`{python} -m venv --system-site-packages ~/fer-edge && ~/fer-edge/bin/pip install fer_edge-*.whl {packages}` "
    "(the wheel is in the bundle's archive)",
    "apt": "`sudo apt install {package}`",
    "numpy-below-2": "`{python} -m pip install 'numpy<2'`",
    "drop-own-numpy": "`{python} -m pip uninstall -y numpy`: the system's numpy, which fits, is seen again",
    "reinstall": "`{python} -m pip install --force-reinstall --no-deps {package}`",
    "one-opencv": "they write over each other's files; keep one: `{python} -m pip uninstall -y {packages} && "
    "{python} -m pip install --no-deps {package}`",
    "jetpack-opencv": "for the CSI camera use JetPack's OpenCV: remove pip's (`{python} -m pip uninstall "
    "{package}`) in an environment made with --system-site-packages; USB cameras work as it is",
    "jetson-onnxruntime": "`{python} -m pip install --no-deps --index-url https://pypi.jetson-ai-lab.io/jp6/cu126 "
    "onnxruntime-gpu` (NVIDIA's build for JetPack 6, with TensorRT and CUDA; --no-deps leaves NumPy and OpenCV alone)",
    "one-onnxruntime": "keep one: `{python} -m pip uninstall -y {packages}`, then {install}",
    "provider": "its own message names the library that is missing: JetPack's CUDA, cuDNN and TensorRT "
    "(`sudo apt install nvidia-jetpack`) must be those that this onnxruntime was built for; until then another variant "
    "may be faster",
    "illegal-instruction": "this build uses instructions that this CPU lacks; try another version: "
    "`{python} -m pip install '{package}'`",
    "update-interpreter": "`{python} -m pip install -U {packages}`, or run another variant: --variant {variant}",
    "other-variant": "32 bit has no newer interpreter; give every command `--variant {variant}`",
    "no-variant-fits": "`{python} -m pip install -U {packages}`",
    "get-bundle": "copy a bundle here (`make convert MODEL=hawqc_mbv2` on the host makes dist/hawqc_mbv2) and name "
    "it: --bundle DIR or FER_EDGE_BUNDLE",
    "recopy-bundle": "copy the bundle here again, or rebuild it on the host (`make convert MODEL=hawqc_mbv2`, or its "
    "recipe)",
    "synthetic": "plug a camera in; without one `fer-edge run --source synthetic:// --max-frames 50` works",
    "csi-cable": "power off and reseat the ribbon cable, then `rpicam-hello --list-cameras` (bookworm and newer); a "
    "USB camera or `fer-edge run --source synthetic:// --max-frames 50` works without",
    "apt-picamera2": "`sudo apt install --no-install-recommends python3-picamera2` (Raspberry Pi OS has it, Debian "
    "does not); USB cameras work without",
    "venv-system-packages": "`/usr/bin/python3 -m venv --system-site-packages {prefix}` lets this environment see it, "
    "what is installed stays",
    "system-python-venv": "picamera2 works only in the system's Python: make an environment of it, "
    "`/usr/bin/python3 -m venv --system-site-packages ~/fer-edge`, and install fer-edge there",
    "usermod": "`sudo usermod -aG {groups} $USER`, then log out and in again",
    "relogin": "log out and in again (a service: restart it); this login is older than the membership",
    "udev-dma-heap": 'give it to the group video: `echo \'SUBSYSTEM=="dma_heap", GROUP="video", MODE="0660"\' | '
    "sudo tee /etc/udev/rules.d/99-dma-heap.rules`, then restart the board",
    "kill-holder": "a camera serves one program at a time; if that is not the one you want: `kill {pids}`",
    "restart-nvargus": "`sudo systemctl restart nvargus-daemon`",
    "jetpack-6": "JetPack {jetpack} is not supported; an Orin can be updated to JetPack 6. Where all other lines are "
    "ok, fer-edge works all the same",
    "free-memory": "end other programs; the largest: `ps -eo rss,pid,comm --sort=-rss | head`",
    "cma": "picamera2 takes its buffers there: in /boot/firmware/config.txt write `dtoverlay=vc4-kms-v3d,cma-128`, "
    "then restart",
    "cool": "give the board a heat sink or a fan and air; `fer-edge doctor` again after a minute",
    "power-supply": "use the board's own power supply and a short, thick cable; take USB devices off",
    "governor": "`echo {governor} | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor` (until the "
    "next start)",
    "free-disk": "make room: `sudo apt clean`; the largest folders: `du -xh --max-depth=2 {path} | sort -h | tail`",
    "set-clock": "`sudo timedatectl set-ntp true`, or without a network `sudo date -s '2026-01-31 12:00'`",
    "report": "please report this with the output of `fer-edge doctor --json`",
}


def remedy(key: str, **values: str) -> str:
    """The text of a remedy; ``values`` that name files or packages are quoted for the shell by ``quoted``."""
    return REMEDIES[key].format(**values)


def quoted(text: str) -> str:
    """As one word of a shell command."""
    return shlex.quote(text)
