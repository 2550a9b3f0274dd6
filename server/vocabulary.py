"""The texts of a column that carries places: known to the engine, and growing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.java_columns import java_value

__all__ = ["Vocabulary"]


class Vocabulary:
    """Texts by place, in a Java array with room for more.

    Args:
        name: What it is called in messages.
        texts: The texts; one may come twice, or be None.

    Attributes:
        java: The array, another one once the texts have outgrown it.
    """

    def __init__(self, name: str, texts: Sequence[str | None]) -> None:
        self.java: Any
        self._name = name
        self._length = self._room = 0
        self._first: dict[str | None, int] = {}
        self._places = np.empty(0, dtype=np.int32)
        self.extend(texts)

    def extend(self, texts: Sequence[str | None]) -> None:
        """Add texts.

        Args:
            texts: Those that are there, and the new ones behind them.
        """
        import jpy

        added = texts[self._length :]
        if self._length and not added:
            return
        if len(texts) > self._room:
            self._room = 2 * len(texts) if self._length else len(texts)
            room: list[Any] = [None] * (self._room - len(texts))
            self.java = jpy.array("java.lang.String", [*(java_value("string", text) for text in texts), *room])
        else:
            for place, text in enumerate(added, self._length):
                self.java[place] = java_value("string", text)
        first = [self._first.setdefault(text, place) for place, text in enumerate(added, self._length)]
        self._places = np.append(self._places, np.array(first, dtype=np.int32))
        self._length = len(texts)

    def known(self, places: NDArray[Any]) -> NDArray[Any]:
        """Return, for each place, the first one with the same text, so that rows that look alike are alike.

        Raises:
            ValueError: There is no such place.
        """
        if places.min() < 0 or places.max() >= self._length:
            wrong = places[(places < 0) | (places >= self._length)][0]
            raise ValueError(f"{self._name}: there is no text {wrong} in a vocabulary of {self._length}")
        if len(self._first) == self._length:
            return places
        first: NDArray[Any] = self._places[places]
        return first
