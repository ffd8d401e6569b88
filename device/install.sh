#!/bin/sh
# Installs fer-edge and the bundle beside this script: a new version is built and verified before it takes over.
#
# PREFIX/versions/<name>-<digest>/{venv,bundle,fer-edge,install.sh}   one folder a version; without `complete` in it: unfinished
# PREFIX/current, PREFIX/previous                          links into versions/, switched in one step
# PREFIX/bin/fer-edge                                      link to current/fer-edge
set -eu
umask 022

usage() {
    cat <<'END'
usage: sh install.sh [--from DIR] [--require-signature FILE] [--prefix DIR] [--python FILE] [--service] [--verbose]
       sh install.sh --rollback [--prefix DIR]
       sh install.sh --uninstall [--prefix DIR]

Installs fer-edge from this unpacked archive. Needs no root. A second run of the same version only verifies it.

  --from DIR     the unpacked archive to install (default: the one this script is in); with an installation's own copy,
                 PREFIX/current/install.sh, nothing of a new archive runs before its signature is checked
  --require-signature FILE
                 install only what one of the keys in FILE signed: a public key, or ssh-keygen's list of allowed
                 signers, whose lines begin with fer-edge
  --prefix DIR   where to (default: /opt/fer-edge as root, else ~/.local/share/fer-edge;
                 the command is then also linked in /usr/local/bin or ~/.local/bin)
  --python FILE  the Python to use, 3.10 to 3.13 (default: /usr/bin/python3, which sees the system's camera packages)
  --service      as root: also install, enable and start the systemd service fer-edge
  --rollback     go back to the version before
  --uninstall    remove what this script installed and what fer-edge kept for itself; your configuration, readings and
                 any file that is not ours stay
  --verbose      show what pip prints
  --help         this text
END
}

UNIT=/etc/systemd/system/fer-edge.service
LOWEST_NUMPY=1.24  # of fer-edge; an older one of the system's is left alone and not used
LOWEST_CV2=4.6
# the wheel brings them in its environment's share/; linked where man and the shells look
PAGES='man/man1/fer-edge.1 bash-completion/completions/fer-edge zsh/site-functions/_fer-edge
    fish/vendor_completions.d/fer-edge.fish'

say() { printf 'install.sh: %s\n' "$*"; }

refuse() {
    printf 'install.sh: error: %s\n' "$(printf '%s' "$*" | tr '\001-\037\177' '[?*]')" >&2
    exit 2
}

main() {
    here=$(dirname "$0") signers=''
    prefix='' python='' service=0 verbose=0 action=install candidate=''
    while [ $# -gt 0 ]; do
        case $1 in
            --prefix | --python | --from | --require-signature)
                if [ $# -lt 2 ] || [ -z "$2" ]; then refuse "$1: no value given; see --help"; fi
                case $1 in
                    --prefix) prefix=$2 ;;
                    --python) python=$2 ;;
                    --from) here=$2 ;;
                    --require-signature) signers=$2 ;;
                esac
                shift
                ;;
            --prefix=*) prefix=${1#*=} ;;
            --python=*) python=${1#*=} ;;
            --from=?*) here=${1#*=} ;;
            --require-signature=?*) signers=${1#*=} ;;
            --service) service=1 ;;
            --uninstall) action=uninstall ;;
            --rollback) action=rollback ;;
            --verbose) verbose=1 ;;
            -h | --help) usage && exit 0 ;;
            *) refuse "$1: unknown option; see --help" ;;
        esac
        shift
    done
    # of the caller's environment, what would lead Python, pip or fer-edge elsewhere
    unset PYTHONPATH PYTHONHOME PYTHONSTARTUP FER_EDGE_BUNDLE PIP_TARGET PIP_PREFIX PIP_ROOT PIP_CONSTRAINT \
        PIP_REQUIREMENT PIP_NO_BINARY PIP_LOG || true
    if [ $action != install ] && [ -n "$signers" ]; then refuse "--require-signature: is for an installation"; fi
    from=$here
    here=$(CDPATH='' cd -- "$from" 2>/dev/null && pwd -P) || refuse "--from $from: no such folder"
    find_prefix
    case $action in
        install) install ;;
        rollback) rollback ;;
        uninstall) uninstall ;;
    esac
    exit 0 # a shell reads a script as it goes: what somebody adds behind the last line meanwhile is not reached
}

# Sets prefix, and where the command and its pages are linked for the shell to find ('' with --prefix): link_dir, share_dir.
find_prefix() {
    link_dir='' share_dir='' given=$prefix
    if [ -z "$prefix" ] && [ "$(id -u)" = 0 ]; then
        prefix=/opt/fer-edge link_dir=/usr/local/bin share_dir=/usr/local/share
    elif [ -z "$prefix" ]; then
        [ -n "${HOME:-}" ] || refuse "HOME: not set; give --prefix DIR"
        prefix=$HOME/.local/share/fer-edge link_dir=$HOME/.local/bin share_dir=$HOME/.local/share
    fi
    case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
    # what a shell or a list of paths would take for something else; letters of any language are fine
    bad=$(printf '%s%%' "$prefix" | LC_ALL=C tr -d 'A-Za-z0-9/._+@ \200-\377-')
    if [ "$bad" != % ]; then
        if [ -z "$given" ]; then
            refuse "HOME: $HOME: only letters, digits, blanks and /._+@- work in a path; give --prefix DIR elsewhere"
        fi
        refuse "--prefix $prefix: only letters, digits, blanks and /._+@- work"
    fi
    [ ! -d "$prefix" ] || prefix=$(cd "$prefix" && pwd -P)
    if [ -e "$prefix" ] && [ ! -e "$prefix/.fer-edge" ]; then
        [ -d "$prefix" ] || refuse "--prefix $prefix: is a file, expected a folder"
        for name in versions current previous bin; do
            if [ -e "$prefix/$name" ] || [ -L "$prefix/$name" ]; then
                refuse "--prefix $prefix: has a '$name' that is not of fer-edge; give a folder of its own"
            fi
        done
    fi
    for name in current previous bin/fer-edge; do # since then somebody else's
        if [ -e "$prefix/$name" ] && [ ! -L "$prefix/$name" ]; then
            refuse "$prefix/$name: is not of fer-edge, which has a link there; move it away"
        fi
    done
    if [ $service = 1 ]; then
        [ "$(id -u)" = 0 ] || refuse "--service: needs root; sudo sh install.sh --service"
        command -v systemctl >/dev/null || refuse "--service: this machine has no systemctl; leave --service out"
        case $prefix in
            *[!A-Za-z0-9/._+-]* | /home/* | /root/* | /tmp/*)
                refuse "--service: a service cannot read $prefix; leave --prefix out, or give one in /opt" ;;
        esac
    fi
}

install() {
    for name in target.json SHA256SUMS bundle/manifest.json fer-edge.service; do
        [ -f "$here/$name" ] || refuse "$here: no $name there; unpack the whole archive of \`make bundle\`"
    done
    check_owners
    [ -z "$signers" ] || check_signature
    find_python
    check_machine
    check_archive
    make_prefix
    choose_version
    if [ -n "$installed" ]; then
        say "$label is installed in $prefix and verifies; nothing to do"
    else
        build
        switch
    fi
    link_command
    link_pages
    if [ $service = 1 ] || unit_is_ours; then install_service; fi
}

# For a bundle's ONNX variants; without it the others work. On a Jetson only NVIDIA's build knows the GPU: it is said
# where that comes from, and JetPack's NumPy and OpenCV stay.
add_onnxruntime() {
    export ORT_DISABLE_TELEMETRY=1 # else its import writes to the home
    if imports onnxruntime 1.17; then
        say "onnxruntime $module_version: the system's own is used"
    elif [ -e /etc/nv_tegra_release ]; then
        say "onnxruntime: not installed, the bundle's ONNX variants wait for it; NVIDIA's build for JetPack 6 uses the GPU:"
        say "  $prefix/current/venv/bin/python3" \
            '-m pip install --no-deps --index-url https://pypi.jetson-ai-lab.io/jp6/cu126 onnxruntime-gpu'
    else
        add_packages onnx
    fi
}

# Sets python, and what the script below says of it and of the archive: py_* and archive_*.
find_python() {
    if [ -z "$python" ]; then
        python=/usr/bin/python3
        [ -x "$python" ] || python=$(command -v python3) || refuse "python3: not found; apt install python3 python3-venv"
    fi
    command -v "$python" >/dev/null || refuse "--python $python: no such command"
    found=$("$python" -I - "$here/target.json" "$LOWEST_NUMPY" 2>&1 <<'END'
# Runs on Python 3.4 and newer, so that an old one can be refused by name.
import importlib.util, json, os, platform, struct, sys

def numbers(text):
    return [int("0" + "".join(c for c in part if c.isdigit())) for part in text.split(".")[:2]]

def own(name):
    """Version of a module that this Python has; "" for one that cannot be imported, whatever it prints."""
    stderr, quiet = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)
    try:
        return __import__(name).__version__
    except Exception:
        return ""
    finally:
        os.dup2(stderr, 2)

def has(name):
    try:
        __import__(name)
    except Exception:
        return 0
    return 1

with open(sys.argv[1]) as file:
    archive = json.load(file)
if archive.get("schema") != "fer-edge/target/1":
    raise SystemExit("target.json: schema %r, expected fer-edge/target/1" % archive.get("schema"))
values = {"archive_" + name: archive[name] for name in
          ("model_id", "version", "target", "machine", "python", "offline", "install_bytes")}
values["py_version"] = "%d.%d" % sys.version_info[:2]
values["py_bits"] = struct.calcsize("P") * 8
values["py_machine"] = platform.machine()
values["py_system"] = platform.system()
values["py_libc"] = " ".join(platform.libc_ver())
values["py_in_venv"] = int(sys.prefix != sys.base_prefix)
values["py_has_venv"] = has("venv") and has("ensurepip")
new = sys.version_info >= (3, 10) and values["py_bits"] == 64
values["py_numpy"] = own("numpy") if new else ""
values["py_numpy_ok"] = int(numbers(values["py_numpy"]) >= numbers(sys.argv[2]))
values["py_has_cv2"] = int(new and importlib.util.find_spec("cv2") is not None)
for name, value in values.items():
    value = "" if value is None else int(value) if isinstance(value, bool) else value
    print("fact %s=%s" % (name, " ".join(str(value).split())))
END
    ) || refuse "$python: cannot run ($(printf '%s' "$found" | tail -n 1)); give the system's Python with --python"
    py_version=$(fact py_version) py_bits=$(fact py_bits) py_machine=$(fact py_machine) py_system=$(fact py_system)
    py_libc=$(fact py_libc) py_in_venv=$(fact py_in_venv) py_has_venv=$(fact py_has_venv)
    py_numpy=$(fact py_numpy) py_numpy_ok=$(fact py_numpy_ok) py_has_cv2=$(fact py_has_cv2)
    archive_model_id=$(fact archive_model_id) archive_version=$(fact archive_version)
    archive_target=$(fact archive_target) archive_machine=$(fact archive_machine) archive_python=$(fact archive_python)
    archive_install_bytes=$(fact archive_install_bytes)
    case $archive_model_id-$archive_version in # they become the name of a folder
        -* | *- | .* | *[!A-Za-z0-9._+-]*) refuse "target.json: model_id '$archive_model_id', version '$archive_version':" \
            "expected letters, digits and ._+-; unpack the archive again" ;;
    esac
    case $archive_install_bytes in
        '' | *[!0-9]*) refuse "target.json: install_bytes '$archive_install_bytes', expected a number" ;;
    esac
    label="$archive_model_id $archive_version"
}

# What the script in find_python said of one thing. It is read and never run: Python prints warnings of its own between,
# and what an archive says of itself is a stranger's.
fact() { printf '%s\n' "$found" | sed -n "s/^fact $1=//p" | tail -n 1; }

check_machine() {
    [ "$py_system" = Linux ] || refuse "$py_system: expected Linux (Raspberry Pi OS, Debian, Ubuntu, JetPack 6)"
    [ "$py_bits" = 64 ] || refuse "$python is $py_bits-bit (kernel: $(uname -m)): no LiteRT for 32-bit systems;" \
        "install the 64-bit Raspberry Pi OS"
    case $py_machine in
        aarch64 | x86_64) ;;
        *) refuse "$py_machine: expected aarch64 or x86_64, for which there are LiteRT wheels" ;;
    esac
    case $py_version in
        3.10 | 3.11 | 3.12 | 3.13) ;;
        *) refuse "$python is Python $py_version, expected 3.10 to 3.13; $(python_remedy)" ;;
    esac
    case $py_libc in
        glibc*) ;;
        *) refuse "C library ${py_libc:-unknown}: expected glibc, as on Debian, Ubuntu, Raspberry Pi OS and JetPack" ;;
    esac
    if [ -n "$archive_machine" ] && [ "$archive_machine/$archive_python" != "$py_machine/$py_version" ]; then
        refuse "this archive is for $archive_target (Python $archive_python on $archive_machine), found Python" \
            "$py_version on $py_machine; pack one for this machine: make bundle TARGET=…"
    fi
    [ "$py_in_venv" = 0 ] || refuse "$python is in a virtual environment, expected the system's; give --python /usr/bin/python3"
    [ "$py_has_venv" = 1 ] || refuse "$python has no venv or ensurepip; sudo apt install python3-venv"
}

python_remedy() {
    case $(cat /etc/nv_tegra_release 2>/dev/null) in
        *R32*) echo "this is JetPack 4: boards that take JetPack 6 need it, others a newer Python given with --python" ;;
        *R35*) echo "this is JetPack 5: update to JetPack 6, or give a newer Python with --python" ;;
        *)
            case $py_version in
                2.* | 3.?) echo "update the system (Debian 12, Ubuntu 22.04, JetPack 6) or give a newer one with --python" ;;
                *) echo "give an older one with --python" ;;
            esac
            ;;
    esac
}

# The signature is SHA256SUMS', which lists every file that is used.
check_signature() {
    [ -f "$signers" ] && [ -r "$signers" ] || refuse "--require-signature $signers: no such file, or not to be read"
    command -v ssh-keygen >/dev/null || refuse "--require-signature: no ssh-keygen here; sudo apt install openssh-client"
    [ -f "$here/SHA256SUMS.sig" ] ||
        refuse "$here: is not signed, and --require-signature was given; pack it with: make bundle SIGN=key"
    if first=$(grep -E -m 1 '^(ssh|ecdsa|sk)-' "$signers"); then # a public key: a list of one
        keys=$(printf 'fer-edge %s' "$first")
    else
        keys=$(cat "$signers")
    fi
    # the list goes in by a descriptor: there is nothing to clean up
    problem=$(printf '%s\n' "$keys" | { ssh-keygen -Y verify -f /dev/fd/3 -I fer-edge -n fer-edge \
        -s "$here/SHA256SUMS.sig" 3<&0 <"$here/SHA256SUMS" 2>&1 >/dev/null; }) && return 0
    problem=$(printf '%s' "$problem" | tail -n 1 | sed 's,^/dev/fd/3:[0-9]*: ,,')
    refuse "$here: no key of $signers signed this archive as it is (${problem:-made by another key}); get the archive" \
        "again, or ask who packed it for their public key"
}

# As root: nobody else may change the archive between the check and the installation, or put another in its place. Who
# owns / may anything; in a user's namespace that is not 0.
check_owners() {
    [ "$(id -u)" = 0 ] || return 0
    all=$(stat -c %u /)
    bad=$(owned_by_others "$here")
    folder=$here
    while [ -z "$bad" ] && [ "$folder" != / ]; do
        folder=$(dirname "$folder")
        bad=$(owned_by_others "$folder" -maxdepth 0 ! -perm -1000)
    done
    [ -z "$bad" ] || refuse "$bad: others can change it while root installs from there; unpack the archive as root, in a" \
        "folder of root's"
}

# owned_by_others PLACE [OPTION…]: the first thing below that somebody but root and who called sudo owns or can write to
owned_by_others() {
    place=$1
    shift
    find "$place" "$@" ! -type l \( -perm -002 -o -perm -020 ! -gid 0 ! -gid "${SUDO_GID:-0}" \) 2>/dev/null | head -n 1
    find "$place" ${1:+-maxdepth 0} ! -type l ! -uid 0 ! -uid "$all" ! -uid "${SUDO_UID:-0}" 2>/dev/null | head -n 1
}

check_archive() {
    if ! bad=$(cd "$here" && sha256sum --check --strict --quiet SHA256SUMS 2>/dev/null); then
        bad=${bad%%:*}
        refuse "$here: ${bad:-SHA256SUMS} is missing or its sha256 differs; copy and unpack the archive again"
    fi
    # what is used and not listed would be used unchecked: another wheel, or a link to a file that changes later
    used=$(cd "$here" && find bundle wheels target.json install.sh fer_edge-*.whl ! -type d 2>/dev/null || true)
    bad=$(printf '%s\n' "$used" | grep -Fxv -e "$(cut -c 67- "$here/SHA256SUMS")" | head -n 1 || true)
    [ -z "$bad" ] || refuse "$here: $bad is not listed in SHA256SUMS; copy and unpack the archive again"
    bad=$(cd "$here" && find bundle wheels target.json install.sh fer_edge-*.whl ! -type d ! -type f 2>/dev/null | head -n 1 || true)
    [ -z "$bad" ] || refuse "$here: $bad is no plain file; copy and unpack the archive again"
    digest=$(sha256sum "$here/SHA256SUMS" | cut -c 1-12)
    wheel=$(cd "$here" && echo fer_edge-*.whl)
}

make_prefix() {
    mkdir -p "$prefix" 2>/dev/null || true
    lock_prefix
    prefix=$(cd "$prefix" && pwd -P)
    mkdir -p "$prefix/versions" "$prefix/bin"
    trap give_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    current=$(readlink "$prefix/current" || true)
    for version in "$prefix"/versions/*; do # left by an installation that was killed
        if [ ! -e "$version/complete" ]; then remove_version "$version"; fi
    done
}

# Removes a folder in versions/ if this script made it: by the name that it gives, and only what it puts there.
# Anything else, and a file that somebody put beside ours, stays.
remove_version() {
    if [ ! -d "$1" ] || [ -L "$1" ]; then return 0; fi
    name=${1##*/}
    name=${name%.again}
    case ${name##*-} in ???????????? ) ;; *) return 0 ;; esac
    case $name in *-*-*) ;; *) return 0 ;; esac
    case ${name##*-} in *[!0-9a-f]*) return 0 ;; esac
    rm -rf "$1/bundle" "$1/venv" "$1/tmp"
    rm -f "$1/fer-edge" "$1/install.sh" "$1/complete"
    rmdir "$1" 2>/dev/null || say "$1 has files of others, which stay"
}

# remove_link FILE TARGET…: removes a link of ours, to one of these (patterns)
remove_link() {
    file=$1
    shift
    target=$(readlink "$file" || true)
    for pattern in "$@"; do
        # shellcheck disable=SC2254 # it is a pattern
        case $target in $pattern) rm -f "$file" ;; esac
    done
}

# The file that says that PREFIX is ours is also the lock; a killed run gives it back.
lock_prefix() {
    [ -w "$prefix" ] || refuse "--prefix $prefix: cannot be written; run with sudo, or give another --prefix DIR"
    exec 9>>"$prefix/.fer-edge"
    flock -n 9 || refuse "$prefix: another install.sh is at work there; wait for it to end"
}

# On every way out before the switch: nothing of a version that did not make it stays.
# shellcheck disable=SC2329 # the trap calls it
give_up() {
    status=$?
    trap - EXIT INT TERM HUP
    if [ -n "$candidate" ]; then remove_version "$candidate"; fi
    rm -f "$prefix/.current.new" "$prefix/.previous.new" "$prefix/bin/.fer-edge.new"
    if [ ! -L "$prefix/current" ]; then
        rm -f "$prefix/.fer-edge"
        rmdir "$prefix/versions" "$prefix/bin" "$prefix" 2>/dev/null || true
    fi
    exit "$status"
}

# Sets installed to the version in use if it is this archive's and still verifies; else candidate, the folder to make.
choose_version() {
    installed=''
    name=$archive_model_id-$archive_version-$digest
    case $current in
        "versions/$name" | "versions/$name.again")
            if verify "$prefix/$current"; then installed=$current && return; fi
            say "$label is installed but does not verify ($problem); installing it again"
            ;;
    esac
    if [ "$current" = "versions/$name" ]; then name=$name.again; fi
    candidate=$prefix/versions/$name
    remove_version "$candidate"
}

# Makes the candidate and verifies it; the version in use is not touched.
build() {
    needed=$((archive_install_bytes / 1024 / 1024 + 1))
    free=$(($(df -Pk "$prefix" | awk 'NR == 2 { print $4 }') / 1024))
    [ $free -ge $needed ] || refuse "$prefix: $free MB free, expected at least $needed MB; free some space, or give another --prefix"
    say "installing $label in $prefix (Python $py_version, the system's numpy: ${py_numpy:-none})"
    mkdir -p "$candidate/tmp"
    run_quietly cp -R "$here/bundle" "$here/install.sh" "$candidate/" || refuse "$prefix: $problem"
    run_quietly "$python" -I -m venv --system-site-packages "$candidate/venv" ||
        refuse "virtual environment: python -m venv failed ($problem); sudo apt install python3-venv"
    mkdir -p "$candidate/venv/share/fer-edge"
    ln -s ../../../bundle "$candidate/venv/share/fer-edge/bundle" # where fer-edge looks first
    constrain_numpy
    # The system's OpenCV is tried with the NumPy that it will meet: JetPack's 4.8 may want a newer one than JetPack's.
    if [ "$py_has_cv2" = 1 ]; then extras=litert,mqtt; else extras=litert,mqtt,opencv; fi
    add_packages $extras
    if [ $extras = litert,mqtt ] && ! imports cv2 "$LOWEST_CV2"; then add_packages litert,mqtt,opencv; fi
    if grep -q '"format": "onnx"' "$here/bundle/manifest.json"; then add_onnxruntime; fi
    check_numpy
    numpy_version=$module_version
    imports cv2 "$LOWEST_CV2" || refuse "OpenCV: cannot be imported ($problem); sudo apt install python3-opencv"
    rm -rf "$candidate/tmp"
    # -s: packages in a user's home are neither seen here nor by a service
    # --block-signal: Ctrl-C waits until the program can answer it, see bin/fer-edge
    if env --block-signal=INT true 2>/dev/null; then hold='env --block-signal=INT '; else hold=''; fi
    cat >"$candidate/fer-edge" <<END
#!/bin/sh
exec $hold"$candidate/venv/bin/python3" -s "$candidate/venv/bin/fer-edge" "\$@"
END
    chmod 755 "$candidate/fer-edge"
    verify "$candidate" --untrusted || refuse "$label does not verify here ($problem);$(what_stays)"
    sync -f "$candidate"
    : >"$candidate/complete"
}

# Pins the system's NumPy, which its camera packages were built for. Where there is none, or one too old for fer-edge
# (JetPack 6), the environment gets its own, of a generation that packages built for the system's also run with.
constrain_numpy() {
    if [ "$py_numpy_ok" = 1 ]; then
        pin=numpy==$py_numpy
    else
        case $py_version in 3.13) pin='numpy>=2.1' ;; *) pin='numpy<2' ;; esac
    fi
    echo "$pin" >"$candidate/tmp/constraints.txt"
}

add_packages() {
    if [ -d "$here/wheels" ]; then from="--isolated --no-index --find-links=."; else from=--retries=2; fi
    # temporary files beside the target: /tmp may be small
    # shellcheck disable=SC2086 # the words of $from are options
    (
        if [ -d "$here/wheels" ]; then cd "$here/wheels"; fi
        export TMPDIR="$candidate/tmp" PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0
        run_quietly "$candidate/venv/bin/python3" -I -m pip install --no-cache-dir --no-input \
            --disable-pip-version-check --progress-bar off --only-binary :all: $from \
            --constraint "$candidate/tmp/constraints.txt" "$here/${wheel}[$1]" ||
            refuse "packages: pip failed ($problem); expected a network, or an archive packed with OFFLINE=1;$(what_stays)"
    ) || exit $?
}

check_numpy() {
    imports numpy "$LOWEST_NUMPY" || refuse "numpy: cannot be imported ($problem)"
    if [ "$py_numpy_ok" = 1 ] && [ "$module_version" != "$py_numpy" ]; then
        refuse "numpy: became $module_version, expected the system's $py_numpy to stay;$(what_stays)"
    fi
}

what_stays() {
    if [ -n "$current" ]; then echo " ${current#versions/} stays in use"; else echo " nothing was installed"; fi
}

# imports MODULE LOWEST: whether the candidate can import it, and it is new enough; sets module_version or problem
imports() {
    if module_version=$("$candidate/venv/bin/python3" -I -c "
import $1
numbers = [int(part) for part in $1.__version__.split('.')[:2]]
if numbers < [int(part) for part in '$2'.split('.')]:
    raise SystemExit('found ' + $1.__version__ + ', expected $2 or newer')
print($1.__version__)" 2>"$candidate/tmp/stderr"); then
        return 0
    fi
    problem=$(tail -n 1 "$candidate/tmp/stderr")
    return 1
}

# verify FOLDER [FLAG]: replays the golden vectors of an installed version; sets problem. Writes nothing.
verify() {
    problem=$(cd / && PYTHONDONTWRITEBYTECODE=1 "$1/fer-edge" verify ${2:+"$2"} 2>&1 >/dev/null) && return 0
    problem=$(printf '%s' "$problem" | tail -n 1)
    problem=${problem#fer-edge: error: }
    return 1
}

# Runs a command; shows its output with --verbose, else sets problem to its last error line.
run_quietly() {
    if [ $verbose = 1 ]; then
        problem='see above'
        "$@"
        return
    fi
    problem=$("$@" 2>&1) && return 0
    case $problem in # without a network, pip speaks of conflicting dependencies
        *'Retrying ('*) problem='the package index cannot be reached' && return 1 ;;
    esac
    errors=$(printf '%s\n' "$problem" | grep '^ERROR: ' | grep -v ResolutionImpossible || true)
    problem=$(printf '%s\n' "${errors:-$problem}" | tail -n 1)
    problem=${problem#ERROR: }
    return 1
}

switch() {
    made=$candidate
    point current "versions/${made##*/}"
    candidate='' # from here on it stays
    point bin/fer-edge ../current/fer-edge
    if [ -n "$current" ]; then point previous "$current"; fi
    for version in "$prefix"/versions/*; do # two versions are kept
        case versions/${version##*/} in
            "versions/${made##*/}" | "$current") ;;
            *) remove_version "$version" ;;
        esac
    done
    say "$label is installed and verified (numpy $numpy_version, OpenCV $module_version): $prefix/bin/fer-edge"
}

# point NAME TARGET: makes the link PREFIX/NAME, or moves it, in one step
point() {
    new=$prefix/$(dirname "$1")/.$(basename "$1").new
    rm -f "$new"
    ln -s "$2" "$new"
    mv -T "$new" "$prefix/$1"
}

link_command() {
    [ -n "$link_dir" ] || return 0
    link=$link_dir/fer-edge
    if [ "$(readlink "$link" || true)" = "$prefix/bin/fer-edge" ]; then return 0; fi
    if [ -e "$link" ] || [ -L "$link" ] || ! { mkdir -p "$link_dir" && ln -s "$prefix/bin/fer-edge" "$link"; } 2>/dev/null; then
        say "$link is not this installation's, or cannot be written: start $prefix/bin/fer-edge"
        return 0
    fi
    case ":$PATH:" in
        *":$link_dir:"*) say "command: fer-edge" ;;
        *) say "command: $link (log in again, or add $link_dir to PATH)" ;;
    esac
}

# The manual page and what lets the shells complete the command; a place that is taken or cannot be written is left.
link_pages() {
    [ -n "$share_dir" ] || return 0
    for page in $PAGES; do
        from=$prefix/current/venv/share/$page to=$share_dir/$page
        if [ ! -f "$from" ] || [ -e "$to" ] || [ -L "$to" ]; then continue; fi
        { mkdir -p "$(dirname "$to")" && ln -s "$from" "$to"; } 2>/dev/null || true
    done
}

# Of the folders that held them, those that others may own too (/usr/local/share/man) stay, also where they are empty.
unlink_pages() {
    for page in $PAGES; do
        to=${share_dir:-/usr/local/share}/$page
        if [ "$(readlink "$to" || true)" != "$prefix/current/venv/share/$page" ]; then continue; fi
        rm -f "$to"
        if [ "$(id -u)" != 0 ]; then
            rmdir "$(dirname "$to")" "$(dirname "$(dirname "$to")")" 2>/dev/null || true
        fi
    done
}

unit_is_ours() { [ "$(id -u)" = 0 ] && grep -qsF "ExecStart=$prefix/bin/fer-edge " "$UNIT"; }

# The installed fer-edge writes the unit that came with it, so that `fer-edge service install` is the same thing.
install_service() {
    if [ -z "$installed" ] && unit_is_ours; then
        "$prefix/bin/fer-edge" service update --prefix "$prefix" || refuse "fer-edge service update: failed"
    fi
    if [ $service = 1 ]; then
        "$prefix/bin/fer-edge" service install --prefix "$prefix" || refuse "fer-edge service install: failed"
    fi
}

rollback() {
    [ -L "$prefix/previous" ] || refuse "$prefix: no earlier version is kept there"
    make_prefix
    earlier=$(readlink "$prefix/previous")
    [ -e "$prefix/$earlier/complete" ] || refuse "$prefix: no earlier version is kept there"
    verify "$prefix/$earlier" || refuse "${earlier#versions/} does not verify here ($problem); ${current#versions/} stays in use"
    point current "$earlier"
    point previous "$current"
    if unit_is_ours && [ -d /run/systemd/system ]; then systemctl try-restart fer-edge; fi
    say "back to ${earlier#versions/}"
}

uninstall() {
    [ -e "$prefix/.fer-edge" ] || refuse "$prefix: fer-edge is not installed there; give the --prefix it was installed with"
    lock_prefix
    if unit_is_ours; then
        if [ -d /run/systemd/system ]; then systemctl --quiet disable --now fer-edge || true; fi
        systemctl --quiet disable fer-edge 2>/dev/null || true
        rm -f "$UNIT"
        if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
    fi
    link=${link_dir:-/usr/local/bin}/fer-edge
    if [ "$(readlink "$link" || true)" = "$prefix/bin/fer-edge" ]; then rm -f "$link"; fi
    unlink_pages
    remove_link "$prefix/bin/fer-edge" ../current/fer-edge
    remove_link "$prefix/current" 'versions/*'
    remove_link "$prefix/previous" 'versions/*'
    for version in "$prefix"/versions/*; do remove_version "$version"; done
    remove_own_files
    # while others have files in our two folders, the mark stays: a later installation may use them again
    rmdir "$prefix/versions" "$prefix/bin" 2>/dev/null || true
    if [ ! -e "$prefix/versions" ] && [ ! -e "$prefix/bin" ]; then rm -f "$prefix/.fer-edge"; fi
    if rmdir "$prefix" 2>/dev/null; then say "removed $prefix"; else say "removed; other files stay in $prefix"; fi
    if [ -e /etc/fer-edge/config.toml ]; then say "/etc/fer-edge stays, as do readings"; fi
}

# What fer-edge itself kept for this user and for the service: decoded networks and engines, which any other installation
# makes again, what tune found, and the page's token.
remove_own_files() {
    case ${HOME:-} in /*) home=$HOME ;; *) home=/nonexistent ;; esac
    case ${XDG_CACHE_HOME:-} in /*) cache=$XDG_CACHE_HOME ;; *) cache=$home/.cache ;; esac
    case ${XDG_STATE_HOME:-} in /*) state=$XDG_STATE_HOME ;; *) state=$home/.local/state ;; esac
    for folder in "$cache/fer-edge" /var/cache/fer-edge; do
        for file in "$folder"/decoded/* "$folder"/decoded/.tmp-* "$folder"/tried/* "$folder"/tried/.tmp-*; do
            name=${file##*/}
            case $name in
                .tmp-*) rm -f "$file" 2>/dev/null || true ;;
                *[!0-9a-f]*) ;;
                *) if [ ${#name} = 64 ]; then rm -f "$file" 2>/dev/null || true; fi ;;
            esac
        done
        for file in "$folder"/engines/*; do
            name=${file##*/}
            case $name in
                *[!0-9a-f]*) ;;
                *) if [ ${#name} = 64 ] && [ ! -L "$file" ]; then rm -rf "$file" 2>/dev/null || true; fi ;;
            esac
        done
        rmdir "$folder/engines" 2>/dev/null || true
        rmdir "$folder/decoded" 2>/dev/null || true
        rmdir "$folder/tried" 2>/dev/null || true
        rmdir "$folder" 2>/dev/null || true
    done
    for folder in "$state/fer-edge" /var/lib/fer-edge; do
        rm -f "$folder/tune.json" "$folder/web-token" 2>/dev/null || true
        rmdir "$folder" 2>/dev/null || true
    done
    rm -f "$prefix/tune.json"
}

main "$@"
