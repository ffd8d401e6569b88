#!/usr/bin/env bash
# tests/run.sh PYTHON PATH...: the tests on all cores. A few that fail beside the others are tried once more by
# themselves, and both are said: what fails then too is broken, what passes then wants a look at what it waits for.
set -uo pipefail
python=$1
shift
most=3 # failures; more are no accident
rm -f .pytest_cache/v/cache/lastfailed # of other runs
# a file's tests in one process, so that what a file makes for them is made once
"$python" -m pytest -n auto --dist loadfile "$@"
status=$?
[ $status = 1 ] || exit $status
failed=$("$python" -c 'import json, sys; print(len(json.load(open(sys.argv[1]))))' .pytest_cache/v/cache/lastfailed) || exit 1
[ "$failed" -le $most ] || exit 1
echo "== $failed failed beside the others; once more, alone =="
"$python" -m pytest --last-failed --last-failed-no-failures none -rA "$@" || exit 1
echo "== passed alone: see above which, and mend what they wait for =="
