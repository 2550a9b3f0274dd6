r"""Regular expressions that mean the same in Python and in PostgreSQL.

A column's `pattern` is checked by the client and, for a published type, by the database. The two engines disagree on
much: what `\d` matches, whether `$` sits before a final newline, what `.` excludes, how look-around and
back-references work. So a pattern is parsed here, whatever lies outside a portable subset is refused, and the rest is
written out again so that both engines read it alike:

- literals, `.` (any character), `[...]` and `[^...]` with ranges, `\d \w \s` (ASCII, also inside brackets)
- `(...)` and `(?:...)`, which only group, and `|`
- `* + ? {m} {m,} {m,n}`, counts up to 255
- `^` at the start and `$` at the end, the ends of the whole text; without them a pattern may match anywhere
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

__all__ = ["PortablePattern"]

_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": " \\t\\n\\r\\f\\v"}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}
_COUNT = re.compile(r"\{([0-9]{1,6})(?:(,)([0-9]{0,6}))?\}")
_MAX_COUNT = 255  # PostgreSQL's own bound
_MAX_SIZE = 2000


class _Part(NamedTuple):
    """A piece of the rendered pattern: its text, its states once counts are written out, whether it matches nothing."""

    text: str
    size: int
    empty: bool


class PortablePattern:
    r"""A pattern of the portable subset, compiled for both engines.

    Args:
        source: The pattern as written.

    Attributes:
        source: The pattern as written.
        sql: Its rendering for PostgreSQL's `~`.
        search: The search of its rendering for Python: a match or None.

    Raises:
        ValueError: The pattern is malformed or outside the subset; the message says which part, where and what to
            write instead.

    Example:
        >>> PortablePattern(r"^[A-Z]{2}\d+$").matches("AB12")
        True
    """

    def __init__(self, source: str) -> None:
        self.source = source
        starts = source.startswith("^")
        stem = source[:-1]
        ends = source.endswith("$") and (len(stem) - len(stem.rstrip("\\"))) % 2 == 0
        self._end = len(stem) if ends else len(source)
        self._position = int(starts)
        body, branches = self._alternatives()
        if self._position < self._end:
            self._fail("an unmatched ')'")
        if branches > 1 and (starts or ends):
            self._fail("an anchor beside '|'", "write ^(...|...)$ to anchor every alternative")
        if body.size > _MAX_SIZE:
            self._fail(f"counts that multiply to {body.size:,} states, more than {_MAX_SIZE:,}")
        self.sql = ("^" if starts else "") + body.text + ("$" if ends else "")
        # In Python `$` would also match before a final newline.
        python = ("\\A" if starts else "") + body.text + ("\\Z" if ends else "")
        self.search = re.compile(python, re.DOTALL).search

    def matches(self, text: str) -> bool:
        """Return whether the text matches, anywhere in it where the pattern is not anchored."""
        return self.search(text) is not None

    def _fail(self, what: str, hint: str = "") -> NoReturn:
        tail = f"; {hint}" if hint else ""
        raise ValueError(f"pattern {self.source!r} has {what} at position {self._position}{tail}")

    def _peek(self) -> str:
        return self.source[self._position] if self._position < self._end else ""

    def _next(self, wanted: str) -> str:
        character = self._peek()
        if not character:
            self._fail(f"no {wanted}")
        self._position += 1
        return character

    def _alternatives(self) -> tuple[_Part, int]:
        branches = [self._branch()]
        while self._peek() == "|":
            self._position += 1
            branches.append(self._branch())
        text = "|".join(branch.text for branch in branches)
        size = sum(branch.size for branch in branches)
        return _Part(text, size, any(branch.empty for branch in branches)), len(branches)

    def _branch(self) -> _Part:
        parts: list[_Part] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._quantified(self._atom()))
        if not parts:
            self._fail("an empty alternative", "write (...)? for an optional part")
        text = "".join(part.text for part in parts)
        return _Part(text, sum(part.size for part in parts), all(part.empty for part in parts))

    def _atom(self) -> _Part:
        character = self._next("character")
        if character == "(":
            return self._group()
        if character == "[":
            return _Part(self._bracket(), 1, False)
        if character == ".":
            return _Part(".", 1, False)
        if character == "\\":
            return _Part(self._escape(), 1, False)
        if character in "^$*+?{}])":
            self._position -= 1
            self._fail(f"a {character!r} out of place", f"write \\{character} for the character itself")
        return _Part(_literal(character), 1, False)

    def _group(self) -> _Part:
        if self._peek() == "?":
            if self.source[self._position : self._position + 2] != "?:":
                self._fail("a group extension", "only (...) and (?:...) mean the same in both engines")
            self._position += 2
        inner, _ = self._alternatives()
        if self._peek() != ")":
            self._fail("an unclosed '('")
        self._position += 1
        return inner._replace(text=f"(?:{inner.text})")

    def _quantified(self, atom: _Part) -> _Part:
        character = self._peek()
        if not character or character not in "*+?{":
            return atom
        if character == "{":
            text, low, high = self._count()
        else:
            text, low, high = character, int(character == "+"), 1
            self._position += 1
        follower = self._peek()
        if follower and follower in "*+?{":
            self._fail(
                f"a second quantifier {follower!r}", "lazy and possessive forms are not portable, and not needed"
            )
        if atom.empty and text != "?":
            self._fail("a repetition of what can be empty", "write (a|b)* instead of (a?|b)*")
        return _Part(atom.text + text, atom.size * max(high, 1), atom.empty or low == 0)

    def _count(self) -> tuple[str, int, int]:
        found = _COUNT.match(self.source, self._position, self._end)
        if found is None:
            self._fail("a '{' that is no count", "write \\{ for the character itself")
        low = int(found[1])
        high = low if not found[3] else int(found[3])
        if max(low, high) > _MAX_COUNT or high < low:
            self._fail(f"the count {found[0]}", f"write {{m,n}} with m <= n <= {_MAX_COUNT}")
        self._position = found.end()
        return found[0], low, high

    def _escape(self) -> str:
        """Render an escape outside brackets."""
        character = self._next("character after '\\'")
        if character in _CLASSES:
            return f"[{_CLASSES[character]}]"
        return _literal(self._escaped(character))

    def _escaped(self, character: str) -> str:
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character.isalnum() or not character.isascii():
            self._position -= 1
            self._fail(
                f"the escape \\{character}", "only \\d \\w \\s \\t \\n \\r \\f \\v and escaped punctuation are portable"
            )
        return character

    def _bracket(self) -> str:
        negated = self._peek() == "^"
        self._position += int(negated)
        items: list[str] = []
        while True:
            character = self._next("closing ']'")
            if character == "]":
                break
            if character == "\\" and self._peek() in _CLASSES:
                items.append(_CLASSES[self._next("class")])
                continue
            low = self._bracket_character(character)
            if self._peek() == "-" and self.source[self._position + 1 : self._position + 2] not in ("]", ""):
                self._position += 1
                high = self._bracket_character(self._next("end of the range"))
                if high < low:
                    self._fail(f"the empty range {low}-{high}")
                items.append(f"{_literal(low)}-{_literal(high)}")
            else:
                items.append(_literal(low))
        if not items:
            self._fail("an empty bracket", "write \\] for the bracket itself")
        return f"[{'^' if negated else ''}{''.join(items)}]"

    def _bracket_character(self, character: str) -> str:
        if character == "\\":
            escaped = self._next("character after '\\'")
            if escaped in _CLASSES:
                self._fail(f"a range with \\{escaped}")
            return self._escaped(escaped)
        if character == "[":
            self._fail("a '[' inside brackets", "write \\[ for the character itself, A-Za-z for [:alpha:]")
        return character


def _literal(character: str) -> str:
    """Return a character as both engines read it literally, inside and outside brackets."""
    if character == "\x00" or "\ud800" <= character <= "\udfff":
        raise ValueError(f"a pattern cannot hold {character!r}: no stored text contains it")
    if character.isascii() and (character.isalnum() or character == "_"):
        return character
    if " " <= character <= "~":
        return "\\" + character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
