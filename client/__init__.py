"""Thin clients of a running Deephaven server, without Java and without the other packages."""

import os

# gRPC writes lines of its own over the screen; what matters comes as an error. It looks when it is first imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
