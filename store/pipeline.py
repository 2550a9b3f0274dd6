"""Two things at a time: PostgreSQL works on one statement, Python makes the next and uses the one before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["answers"]

C = TypeVar("C")
A = TypeVar("A")


def answers(send: Callable[[C], A], calls: Iterable[C]) -> Iterator[A]:
    """Yield the answer to each call, in order; each is sent once the one before is answered, from a thread of its own.

    Two are under way at most. When one fails, or whoever takes the answers stops, those not yet sent never are.

    Args:
        send: Sends a call and returns its answer.
        calls: The calls, made one ahead of the answers.
    """
    from concurrent.futures import Future, ThreadPoolExecutor  # here, since few programs need it

    sender = ThreadPoolExecutor(1)
    under_way: deque[Future[A]] = deque()
    try:
        for call in calls:
            under_way.append(sender.submit(send, call))
            if len(under_way) > 1:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        sender.shutdown(cancel_futures=True)
