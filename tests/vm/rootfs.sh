#!/usr/bin/env bash
# Lays out a Debian trixie tree for the test machines: kernel 6.12 with vivid, OpenCV, libcamera, picamera2, vimc,
# systemd.
# Usage: rootfs.sh FOLDER; reuses FOLDER where it is complete. Needs root and Debian packages.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
out="$(realpath -m "$1")"
root="$out/root"
stamp="$out/root.ready"
recipe="$(cat "$here/rootfs.sh" "$here/init" "$here/guest.service" | sha256sum | cut -c1-16)"
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$recipe" ] && exit 0

packages="libc-bin,bash,dash,coreutils,sed,grep,findutils,tar,util-linux,ca-certificates,linux-image-amd64,\
linux-headers-amd64,linux-source-6.12,gcc,make,kmod,libc6-dev,xz-utils,bzip2,busybox-static,v4l-utils,\
media-types,libcap-dev,python3-minimal,python3,python3-dev,python3-pip,python3-venv,python3-numpy,\
python3-opencv,python3-libcamera,libcamera-ipa,libcamera-tools,python3-pil,python3-piexif,python3-prctl,\
python3-tqdm,python3-jsonschema,python3-av,python3-libarchive-c,gstreamer1.0-plugins-base,\
gstreamer1.0-plugins-good,mawk,diffutils,cpio,\
systemd,systemd-sysv,udev,libnss-systemd,base-passwd,procps,mount"
base="$(echo "$packages" | sha256sum | cut -c1-16)"

say() { echo "[rootfs] $*"; }
mkdir -p "$out"
if [ "$(cat "$out/base.ready" 2>/dev/null)" != "$base" ]; then
  say "Debian trixie (kernel, OpenCV, libcamera, a compiler): about 600 MB of packages"
  rm -rf "$root" "$out/pip.ready"
  # extract: packages are unpacked, their scripts are not run; no init system, no initramfs, seconds instead of minutes
  mmdebstrap --variant=extract --architectures=amd64 --aptopt='APT::Install-Recommends "false"' \
    --setup-hook='mkdir -p "$1/usr/bin" "$1/usr/sbin" "$1/usr/lib" "$1/usr/lib64"; for d in bin sbin lib lib64; do ln -s "usr/$d" "$1/$d"; done' \
    --include="$packages" \
    trixie "$root"
  # what the scripts would have done and is needed: alternatives, the linker's cache, certificates
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  for name in blas lapack; do
    echo "/usr/lib/x86_64-linux-gnu/$name" >> "$root/etc/ld.so.conf.d/alternatives.conf"
  done
  mkdir -p "$root/etc/ssl/certs"
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
  cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
  chroot "$root" systemd-sysusers
  ln -sf mawk "$root/usr/bin/awk"
  chroot "$root" /usr/sbin/ldconfig
  chroot "$root" python3 -c 'import cv2, numpy, libcamera; print("[rootfs] cv2", cv2.__version__, "numpy", numpy.__version__)'
  echo "$base" > "$out/base.ready"
fi

kernel="$(basename "$root"/lib/modules/*)"
modules="$root/lib/modules/$kernel"
if [ ! -f "$modules/extra/vimc.ko" ]; then
  say "vimc.ko: built from Debian's kernel source, which ships it switched off"
  mkdir -p "$out/vimc" "$modules/extra"
  tar -C "$out/vimc" --strip-components=5 -xf "$root/usr/src/linux-source-6.12.tar.xz" \
    linux-source-6.12/drivers/media/test-drivers/vimc
  rm -rf "$root/tmp/vimc"
  mkdir -p "$root/tmp"
  cp -r "$out/vimc" "$root/tmp/vimc"
  chroot "$root" make -s -C "/usr/src/linux-headers-$kernel" M=/tmp/vimc CONFIG_VIDEO_VIMC=m modules
  cp "$root/tmp/vimc/vimc.ko" "$modules/extra/"
  rm -rf "$root/tmp/vimc"
fi
depmod -b "$root" "$kernel"

if [ ! -f "$out/pip.ready" ]; then
  say "picamera2 and an interpreter from PyPI"
  rm -rf "$root/opt/venv"
  mkdir -p "$root/dev"
  chroot "$root" python3 -m venv --system-site-packages --without-pip /opt/venv
  # made, not mounted: a mount left behind by a kill would hand the machine's /dev to `make clean`
  for node in null:3 zero:5 random:8 urandom:9; do
    [ -e "$root/dev/${node%:*}" ] || mknod -m 666 "$root/dev/${node%:*}" c 1 "${node#*:}"
  done
  # Debian's own numpy, OpenCV and libcamera stay; only what Debian lacks comes from PyPI
  PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_FIND_LINKS= \
    chroot "$root" /usr/bin/python3 -m pip --python /opt/venv/bin/python install --no-cache-dir --no-deps -q \
    picamera2==0.3.38 PiDNG simplejpeg videodev2 ai-edge-litert==2.3.0 flatbuffers backports.strenum ml_dtypes
  # picamera2 imports the KMS preview at start-up; the package it needs is on Raspberry Pi OS only and is not used here
  printf 'class _Any:\n    def __getattr__(self, name):\n        return _Any()\n\n\nPixelFormat = _Any()\n' \
    > "$(echo "$root"/opt/venv/lib/python3*/site-packages)/pykms.py"
  chroot "$root" /opt/venv/bin/python -c 'import picamera2, ai_edge_litert.interpreter; print("[rootfs] picamera2 imports")'
  touch "$out/pip.ready"
fi

mkdir -p "$root"/{tmp,run,mnt,proc,sys,dev} # without base-files nobody made them
say "initrd: busybox and 9p"
rd="$out/initrd"
rm -rf "$rd"
mkdir -p "$rd"/{bin,modules,proc,sys,dev,mnt}
cp "$root/usr/bin/busybox" "$rd/bin/busybox"
cp "$here/init" "$rd/init"
cp "$here/guest.service" "$rd/guest.service"
chmod +x "$rd/init"
n=10
for module in 9p 9pnet_virtio overlay; do modprobe -d "$root" -S "$kernel" --show-depends "$module"; done |
  awk '$1 == "insmod" && !seen[$2]++ {print $2}' | while read -r file; do
    name="$rd/modules/$n-$(basename "${file%.xz}")"
    case "$file" in *.xz) xz -dc "$file" > "$name" ;; *) cp "$file" "$name" ;; esac
    n=$((n + 1))
  done
(cd "$rd" && find . | cpio -o -H newc --quiet | gzip -1 > "$out/initrd.gz")
rm -rf "$rd"
echo "$recipe" > "$stamp"
