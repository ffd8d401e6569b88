#!/usr/bin/env bash
# Boots test machines (Debian trixie, kernel 6.12, emulated) and runs the guest scripts in them.
# Usage: run.sh [vivid] [vimc] [systemd]; logs to build/vm/*.log. Status 0: all passed, 1: a check failed, 77: cannot run here.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
project="$(cd "$here/../.." && pwd)"
out="$project/build/vm"
stages=("${@:-}")
[ -n "${stages[0]}" ] || stages=(vivid vimc systemd)
mkdir -p "$out"

skip() {
  echo "test-vm: skipped: $*" >&2
  exit 77
}

[ "$(uname -m)" = x86_64 ] || skip "expected an x86-64 machine, found $(uname -m)"
missing=()
for need in mmdebstrap:mmdebstrap qemu-system-x86_64:qemu-system-x86 modprobe:kmod cpio:cpio xz:xz-utils; do
  command -v "${need%%:*}" > /dev/null || missing+=("${need##*:}")
done
if [ "${#missing[@]}" -gt 0 ] || [ ! -f "$out/root.ready" ]; then
  [ "$(id -u)" = 0 ] || skip "setting up needs root: sudo make test-vm"
fi
if [ "${#missing[@]}" -gt 0 ]; then
  command -v apt-get > /dev/null || skip "install ${missing[*]}; there is no apt-get here"
  echo "test-vm: installing ${missing[*]}"
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" debian-archive-keyring; } \
    > "$out/apt.log" 2>&1 || skip "apt-get install ${missing[*]} failed; see $out/apt.log"
fi
echo "test-vm: laying out the Debian tree (first time: a few minutes, 2 GB in build/vm)"
"$here/rootfs.sh" "$out" > "$out/rootfs.log" 2>&1 || skip "the Debian tree could not be made; see $out/rootfs.log"

# The offline archive that stage systemd installs, for Debian trixie's own Python; unpacked beside the tree.
archive() {
  for bundle in "$project/build/test-bundle" "$project/dist/hawqc_mbv2" ""; do
    [ ! -f "$bundle/manifest.json" ] || break
  done
  [ -n "$bundle" ] && [ -x "$project/.venv/bin/fer-host" ] ||
    skip "stage systemd installs an archive: make convert MODEL=hawqc_mbv2 first"
  packed="$(cd "$project" && .venv/bin/fer-host pack hawqc_mbv2 --bundle "$bundle" --target x86-trixie --offline)" ||
    skip "the archive could not be packed"
  rm -rf "$out/archive"
  mkdir -p "$out/archive"
  tar -C "$out/archive" --strip-components=1 -xzf "$project/$packed"
}

status=0
for stage in "${stages[@]}"; do
  log="$out/$stage.log"
  [ -f "$here/guest_$stage.py" ] || { echo "test-vm: no stage $stage" >&2; exit 2; }
  echo "test-vm: $stage: booting (minutes, many on a busy machine; log: $log)"
  if [ "$stage" = systemd ]; then archive; fi
  # readonly: a guest cannot change the cached tree; no network; TCG, because nested KVM is seldom there
  # Westmere: x86-64-v2 and no more, because emulated AVX2 is far slower than emulated SSE
  # systemd: its own messages stay out of the log, and nobody logs in
  # the serial console, not a pipe: what was said before a crash is in the log
  timeout 1500 nice qemu-system-x86_64 -accel tcg,thread=multi -cpu Westmere -smp 2 -m 2048 \
    -kernel "$(echo "$out"/root/boot/vmlinuz-*)" -initrd "$out/initrd.gz" \
    -append "console=ttyS0 loglevel=4 panic=-1 no_timer_check guest=$stage systemd.unit=multi-user.target systemd.getty_auto=no systemd.show_status=no" -no-reboot -display none -monitor none -nic none \
    -serial "file:$log" \
    -virtfs "local,path=$out/root,mount_tag=root,security_model=none,multidevs=remap,readonly=on" \
    -virtfs "local,path=$project,mount_tag=project,security_model=none,multidevs=remap,readonly=on" \
    < /dev/null || echo "test-vm: $stage: qemu ended with status $?" >&2
  tr -d '\r' < "$log" | grep -E '^(ok|FAIL|skip|note|VM:)' | sed "s/^/$stage: /" || true
  tr -d '\r' < "$log" | grep -qE '^VM: [1-9][0-9]* passed, 0 failed' || status=1
done
[ "$status" = 0 ] && echo "test-vm: all passed" || echo "test-vm: failed; see $out/*.log" >&2
exit "$status"
