#!/bin/sh
# Brings back what a board had before a roll-out: version, configuration, unit. Made by the role fer_edge, which keeps
# what was there in STAGE/before, starts this as a guard before it changes anything, and ends it once the board reads.
#
#   sh restore.sh arm STAGE SECONDS [PREFIX]   after so long, unless told otherwise: now
#   sh restore.sh now STAGE [PREFIX]           at once
#   sh restore.sh confirm STAGE                all is well; status 1 where the board went back by itself before
#   sh restore.sh disarm STAGE                 whatever came of it
set -u
umask 077
stage=$2
before=$stage/before
ours=$stage/restore.pid

went_back=$stage/went-back # the guard was here

say() { printf 'restore.sh: %s\n' "$*"; }

disarm() {
    pid=$(cat "$ours" 2>/dev/null || true)
    rm -f "$ours"
    case $pid in '' | *[!0-9]*) return 0 ;; esac
    # the number may be another's by now
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "restore.sh wait $stage "; then kill -- "-$pid"; fi
    # one that is bringing back already ends first
    exec 8>>"$stage/restore.lock"
    flock -w 900 8 || say "still bringing back"
}

# Which version is in use, as install.sh links it; nothing where there is none.
current() { readlink "$prefix/current" 2>/dev/null || true; }

now() {
    prefix=$1
    if [ ! -f "$before/version" ] || [ ! -f "$before/files" ]; then
        # nothing there is not the same as a board that had nothing
        if [ -e "$went_back" ]; then say "the board went back by itself" && return 0; fi
        say "error: $before: incomplete; expected what a roll-out kept there; nothing was changed" >&2
        return 1
    fi
    unit=/etc/systemd/system/fer-edge.service
    # an installation that is still at work (its connection has gone) comes first
    if [ -e "$prefix/.fer-edge" ]; then flock -w 600 "$prefix/.fer-edge" true || say "$prefix: still at work"; fi
    status=0
    while read -r file; do
        if [ -f "$before/etc/$file" ]; then
            cp -p "$before/etc/$file" "/etc/fer-edge/.$file.new" && mv "/etc/fer-edge/.$file.new" "/etc/fer-edge/$file"
        else
            rm -f "/etc/fer-edge/$file"
        fi || status=1
    done <"$before/files"
    rmdir /etc/fer-edge 2>/dev/null || true
    was=$(cat "$before/version")
    if [ "$(current)" = "$was" ]; then
        say "version: as it was"
    elif [ -z "$was" ]; then
        sh "$prefix/current/install.sh" --uninstall --prefix "$prefix" || status=1
    elif [ "$(readlink "$prefix/previous" 2>/dev/null || true)" = "$was" ]; then
        sh "$prefix/$was/install.sh" --rollback --prefix "$prefix" || status=1
    else
        say "error: $prefix/$was is gone; expected the version before to be kept"
        status=1
    fi
    if [ -f "$before/unit" ]; then
        if ! cmp -s "$before/unit" "$unit"; then cp "$before/unit" "$unit.new" && chmod 644 "$unit.new" && mv "$unit.new" "$unit"; fi
        systemctl daemon-reload
        # what was active is started anew: it has the earlier version and configuration
        if [ -e "$before/active" ]; then systemctl restart fer-edge || status=1; else systemctl stop fer-edge || status=1; fi
        if [ -e "$before/enabled" ]; then systemctl --quiet enable fer-edge || status=1; else systemctl --quiet disable fer-edge || status=1; fi
    elif [ -f "$unit" ] && grep -qsF "ExecStart=$prefix/bin/fer-edge " "$unit"; then
        "$prefix/bin/fer-edge" service uninstall || status=1
    fi
    [ $status = 0 ] && say "back to ${was:-no installation}"
    return $status
}

case $1 in
    arm)
        disarm
        rm -f "$went_back"
        # a session of its own: it outlives the connection that started it
        setsid sh "$0" wait "$stage" "$3" "${4:-/opt/fer-edge}" </dev/null >"$stage/restore.log" 2>&1 8>&- &
        echo $! >"$ours"
        ;;
    wait)
        sleep "$3"
        trap '' TERM # from here on it is not interrupted
        exec 8>>"$stage/restore.lock"
        flock 8
        [ "$(cat "$ours" 2>/dev/null)" = $$ ] || exit 0 # confirmed meanwhile
        : >"$went_back"
        now "$4" && rm -rf "$before" && rm -f "$ours"
        ;;
    now)
        disarm
        now "${3:-/opt/fer-edge}"
        ;;
    confirm)
        disarm
        if [ -e "$went_back" ]; then
            say "error: the board went back by itself, it was not confirmed in time" >&2
            exit 1
        fi
        ;;
    disarm) disarm ;;
    *) exit 2 ;;
esac
