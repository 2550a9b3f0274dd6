"""Thin clients of a running Deephaven server, without Java and without the other packages."""

import importlib.util
import os

# gRPC writes lines of its own over the screen; what matters comes as an error. It looks when it is first imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

for _name in ("grpc", "pyarrow", "pydeephaven"):
    if importlib.util.find_spec(_name) is None:
        # Said here, as some of them have another name for pip.
        raise ModuleNotFoundError(
            f"the clients need {_name}, which is not installed: pip install -r requirements-client.txt, or the extra"
            " [client] of this package",
            name=_name,
        )
