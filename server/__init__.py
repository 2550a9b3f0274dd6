"""The Deephaven end: the JVM inside this process, the data it is fed with, and what a terminal shows of it.

Nothing here is imported until it is used: importing `server` starts no JVM.
"""

__all__: list[str] = []
