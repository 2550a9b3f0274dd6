"""Reductions of a group's values that follow each change of a member without reading the others.

Sums are kept exactly: every double is a whole multiple of 2**-1074, so that a sum of doubles is a Python int over that
unit, which neither drifts nor depends on the order of changes; what is returned is the exact sum, rounded once.
"""

from __future__ import annotations

import builtins
import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable
from heapq import heapify, heappop, heappush
from typing import Any

__all__ = ["Recomputed", "Reduction", "reduction_of"]

_UNSET = object()
_UNIT = 1074  # the least positive double is 2**-1074


class Reduction(ABC):
    """Members' values, and a value made of all of them."""

    def __init__(self, skip_none: bool) -> None:
        """Hold no members."""
        self.values: dict[Hashable, Any] = {}
        self._skip_none = skip_none
        self._nones = 0

    def reserve(self, member: Hashable) -> None:
        """Give a member its place among the values, before it has one of its own."""
        self.values.setdefault(member, _UNSET)

    def set(self, member: Hashable, value: Any) -> None:
        """Set the value of a member, which keeps its place."""
        self._drop(member, self.values.get(member, _UNSET))
        self.values[member] = value
        if value is None:
            self._nones += 1
        else:
            self._add(member, value)

    def discard(self, member: Hashable) -> None:
        """Remove a member, if it is there."""
        if member in self.values:
            self._drop(member, self.values.pop(member))

    def _drop(self, member: Hashable, value: Any) -> None:
        if value is _UNSET:
            return
        if value is None:
            self._nones -= 1
        else:
            self._remove(member, value)

    def result(self) -> Any:
        """Return the reduction of the values: None if one of them is None, unless those are skipped."""
        if self._nones and not self._skip_none:
            return None
        return self._result(len(self.values) - self._nones)

    @abstractmethod
    def _add(self, member: Hashable, value: Any) -> None: ...

    @abstractmethod
    def _remove(self, member: Hashable, value: Any) -> None: ...

    @abstractmethod
    def _result(self, count: int) -> Any: ...


class Recomputed(Reduction):
    """Any function of the list of the members' values, called anew after each change."""

    def __init__(self, function: Callable[[list[Any]], Any], skip_none: bool) -> None:
        """Take the function."""
        super().__init__(skip_none)
        self._function = function

    def result(self) -> Any:
        """Return what the function makes of the values, None among them unless it is skipped."""
        values: Iterable[Any] = self.values.values()
        return self._function([value for value in values if not (self._skip_none and value is None)])

    def _add(self, member: Hashable, value: Any) -> None:
        pass

    def _remove(self, member: Hashable, value: Any) -> None:
        pass

    def _result(self, count: int) -> Any:
        return self.result()


class Length(Reduction):
    """The number of members."""

    def result(self) -> Any:
        """Return the number of members, those with None included unless they are skipped."""
        return len(self.values) - (self._nones if self._skip_none else 0)

    def _add(self, member: Hashable, value: Any) -> None:
        pass

    def _remove(self, member: Hashable, value: Any) -> None:
        pass

    def _result(self, count: int) -> Any:
        return count


class _Numeric(Reduction):
    """A reduction of ints and finite floats; while there are others, the function itself is called on all values."""

    def __init__(self, function: Callable[[list[Any]], Any], skip_none: bool) -> None:
        super().__init__(skip_none)
        self._function = function
        self._others = 0

    def _add(self, member: Hashable, value: Any) -> None:
        if _is_number(value):
            self._add_number(member, value)
        else:
            self._others += 1

    def _remove(self, member: Hashable, value: Any) -> None:
        if _is_number(value):
            self._remove_number(member, value)
        else:
            self._others -= 1

    def _result(self, count: int) -> Any:
        if self._others:
            return self._function([value for value in self.values.values() if value is not None])
        return self._reduce(count)

    @abstractmethod
    def _add_number(self, member: Hashable, value: Any) -> None: ...

    @abstractmethod
    def _remove_number(self, member: Hashable, value: Any) -> None: ...

    @abstractmethod
    def _reduce(self, count: int) -> Any: ...


class Sum(_Numeric):
    """The sum: an int if all values are, else the exact sum as a float; 0 of no members."""

    def __init__(self, function: Callable[[list[Any]], Any], skip_none: bool) -> None:
        super().__init__(function, skip_none)
        self._total = 0
        self._floats = 0

    def _add_number(self, member: Hashable, value: Any) -> None:
        self._total += _units(value)
        self._floats += isinstance(value, float)

    def _remove_number(self, member: Hashable, value: Any) -> None:
        self._total -= _units(value)
        self._floats -= isinstance(value, float)

    def _reduce(self, count: int) -> Any:
        return _quotient(self._total, 1 << _UNIT) if self._floats else self._total >> _UNIT


class Mean(Sum):
    """The mean as a float; None of no members."""

    def _reduce(self, count: int) -> Any:
        return _quotient(self._total, count << _UNIT) if count else None


class Variance(_Numeric):
    """The variance or its root, of a sample or of a population; None of too few members."""

    def __init__(
        self, function: Callable[[list[Any]], Any], skip_none: bool, *, sample: bool = True, root: bool = False
    ) -> None:
        super().__init__(function, skip_none)
        self._sample = sample
        self._root = root
        self._total = 0
        self._squares = 0

    def _add_number(self, member: Hashable, value: Any) -> None:
        units = _units(value)
        self._total += units
        self._squares += units * units

    def _remove_number(self, member: Hashable, value: Any) -> None:
        units = _units(value)
        self._total -= units
        self._squares -= units * units

    def _reduce(self, count: int) -> Any:
        divisor = count - self._sample
        if divisor < 1:
            return None
        # (sum of squares - square of the sum / n) / divisor, of whole numbers, so that nothing cancels.
        variance = _quotient(count * self._squares - self._total * self._total, (count * divisor) << (2 * _UNIT))
        return math.sqrt(variance) if self._root else variance


class Extreme(_Numeric):
    """The least or the greatest value, of equal ones that of the first member; None of no members."""

    def __init__(self, function: Callable[[list[Any]], Any], skip_none: bool, *, sign: int) -> None:
        super().__init__(function, skip_none)
        self._sign = sign
        # Each a value, the place of its member, the number of the entry, and the member.
        self._heap: list[tuple[Any, int, int, Hashable]] = []
        self._entries: dict[Hashable, int] = {}
        self._places: dict[Hashable, int] = {}
        self._number = 0

    def set(self, member: Hashable, value: Any) -> None:
        """Set the value of a member, which keeps its place."""
        if member not in self._places:
            self.reserve(member)
        super().set(member, value)

    def reserve(self, member: Hashable) -> None:
        """Give a member its place among the values, before it has one of its own."""
        super().reserve(member)
        if member not in self._places:
            self._number += 1
            self._places[member] = self._number

    def discard(self, member: Hashable) -> None:
        """Remove a member, if it is there."""
        super().discard(member)
        self._places.pop(member, None)

    def _add_number(self, member: Hashable, value: Any) -> None:
        self._number += 1
        self._entries[member] = self._number
        if len(self._heap) > 2 * len(self._entries) + 64:
            # Most entries are of values that have changed since.
            self._heap = [entry for entry in self._heap if self._entries.get(entry[3]) == entry[2]]
            heapify(self._heap)
        heappush(self._heap, (self._sign * value, self._places[member], self._number, member))

    def _remove_number(self, member: Hashable, value: Any) -> None:
        del self._entries[member]

    def _reduce(self, count: int) -> Any:
        while self._heap:
            _, _, number, member = self._heap[0]
            if self._entries.get(member) == number:
                return self.values[member]
            heappop(self._heap)
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _units(value: float) -> int:
    # The denominator of a double is a power of two, so that this is exact.
    numerator, denominator = value.as_integer_ratio()
    return numerator << (_UNIT + 1 - denominator.bit_length())


def _quotient(dividend: int, divisor: int) -> float:
    try:
        # Python divides whole numbers of any size and rounds once.
        return dividend / divisor
    except OverflowError:
        raise OverflowError("the result is too large for a double") from None


def reduction_of(
    function: Callable[..., Any], skip_none: bool, call: Callable[[list[Any]], Any] | None = None
) -> Reduction:
    """Return the reduction that a function stands for.

    Args:
        function: `sum`, `len`, `min`, `max`, one of `statistics` (`mean`, `fmean`, `variance`, `pvariance`, `stdev`,
            `pstdev`), or any other function of a list of values, which is called on all of them after each change.
        skip_none: Whether None among the values is left out.
        call: What calls any other function; by default the function itself.
    """
    if function is builtins.len:
        return Length(skip_none)
    if function is builtins.sum:
        return Sum(function, skip_none)
    if function is builtins.min or function is builtins.max:
        return Extreme(function, skip_none, sign=1 if function is builtins.min else -1)
    if function in (statistics.mean, statistics.fmean):
        return Mean(function, skip_none)
    spread = {
        statistics.variance: (True, False),
        statistics.pvariance: (False, False),
        statistics.stdev: (True, True),
        statistics.pstdev: (False, True),
    }
    for each, (sample, root) in spread.items():
        if function is each:
            return Variance(function, skip_none, sample=sample, root=root)
    return Recomputed(call or function, skip_none)
