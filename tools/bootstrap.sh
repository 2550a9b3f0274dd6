#!/bin/sh
# Finds a Python 3.10 to 3.13 ($PYTHON if set) and lets it prepare this checkout: see bootstrap.py.
suits='import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))'
for python in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.10; do
    if "$python" -c "$suits" 2>/dev/null; then
        exec "$python" -m tools.bootstrap "$@"
    fi
    [ -z "${PYTHON:-}" ] || break
done
{
    found=$("${PYTHON:-python3}" --version 2>/dev/null) || found="not there, or does not run"
    echo "A Python 3.10 to 3.13 is needed; ${PYTHON:-python3} is $found."
    echo "Install one (Debian, Ubuntu: apt-get install python3 python3-venv) or name one: PYTHON=/path/to/python3 make ..."
} >&2
exit 1
