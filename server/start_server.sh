#!/bin/sh
# Start the market data server: with the Python of the active environment where Deephaven is installed there, else with
# the checkout's own environment, which is made when it is not there.
#     server/start_server.sh --symbols 40        a server; its options: --help
#     server/start_server.sh doctor              what this machine lacks
set -eu
cd "$(dirname "$0")/.."
if python3 -c 'import deephaven_server' 2>/dev/null || [ ! -f tools/bootstrap.sh ]; then
    exec python3 -m server "$@"
fi
exec sh tools/bootstrap.sh -r requirements-store.txt -r requirements-server.txt --jdk -- python -m server "$@"
