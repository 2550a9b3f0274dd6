#!/bin/sh
# Start the market data server: with the Python of the active environment where Deephaven is installed there, else with
# the checkout's own environment, which is made when it is not there. Files are named from the folder where one stands.
#     server/start_server.sh --symbols 40        a server; its options: --help
#     server/start_server.sh doctor              what this machine lacks
set -eu
script=$(readlink -f -- "$0")
root=${script%/*/*}
app=$root/server/app.py
if python3 -c 'import deephaven_server' 2>/dev/null || [ ! -f "$root/tools/bootstrap.sh" ]; then
    exec python3 "$app" "$@"
fi
stood=$PWD
cd "$root"
exec sh tools/bootstrap.sh -r requirements-store.txt -r requirements-server.txt --jdk -- \
    sh -c 'cd "$1" && shift && exec python "$@"' start "$stood" "$app" "$@"
