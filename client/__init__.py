"""Thin clients of a running Deephaven server, without Java and without the other packages."""
