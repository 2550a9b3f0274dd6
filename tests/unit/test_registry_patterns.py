"""The portable subset of regular expressions, and what each engine is given."""

from __future__ import annotations

import pytest

from store.patterns import PortablePattern


@pytest.mark.parametrize(
    ("pattern", "matching", "failing"),
    [
        (r"^[A-Z0-9./]+$", ["AAPL", "BRK.B", "A/B"], ["", "aapl", "AAPL\n", "A B"]),
        (r"^a$", ["a"], ["a\n", "ba", ""]),
        (r"a", ["bab", "a\n"], ["b"]),
        (r"^a", ["ab"], ["ba", "\na"]),
        (r"^a.c$", ["abc", "a\nc"], ["ac"]),
        (r"^\d{2,3}$", ["12", "123"], ["1", "1234", "\u0661\u0662"]),
        (r"^\w+$", ["a_1"], ["é", "a b"]),
        (r"^\s$", [" ", "\t", "\v"], ["\u00a0", "a"]),
        (r"^[\d\-]+$", ["1-2"], ["a"]),
        (r"^[^\d]$", ["a", "\n"], ["1"]),
        (r"^(ab|cd)*e$", ["e", "abcde"], ["abc"]),
        (r"^(?:EUR|USD)/(?:JPY)?$", ["EUR/", "USD/JPY"], ["EUR"]),
        (r"ab|cd", ["xcd", "abx"], ["ac"]),
        (r"^\^\$\.\\$", ["^$.\\"], ["a"]),
        (r"^[\]\[]$", ["]", "["], ["a"]),
        (r"^[a\-z]$", ["-", "a", "z"], ["b"]),
        (r"^[a-]$", ["-", "a"], ["b"]),
        (r"^[-a]$", ["-", "a"], ["b"]),
        (r"^[é-ü]$", ["é", "ü"], ["e"]),
        (r"^😀{2}$", ["😀😀"], ["😀"]),
        (r"^a{0}b$", ["b"], ["ab"]),
        (r"^a{2,}$", ["aa", "aaaa"], ["a"]),
        (r"^\$$", ["$"], [""]),
    ],
)
def test_pattern_portable_matches_alike(pattern: str, matching: list[str], failing: list[str]) -> None:
    compiled = PortablePattern(pattern)
    assert [text for text in matching if not compiled.matches(text)] == []
    assert [text for text in failing if compiled.matches(text)] == []


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"(a)\1", "escape"),
        (r"(?=a)b", "group extension"),
        (r"(?i)a", "group extension"),
        (r"(?P<x>a)", "group extension"),
        (r"(?<!a)b", "group extension"),
        (r"\ba", "escape"),
        (r"\Aa\Z", "escape"),
        (r"a\D", "escape"),
        (r"\u0041", "escape"),
        (r"a*?", "second quantifier"),
        (r"a++", "second quantifier"),
        (r"a**", "second quantifier"),
        (r"a{3,2}", "count"),
        (r"a{256}", "count"),
        (r"a{,3}", "no count"),
        (r"a{x}", "no count"),
        (r"a{", "no count"),
        (r"a}", "out of place"),
        (r"a]", "out of place"),
        (r"*a", "out of place"),
        (r"a^b", "out of place"),
        (r"a$b", "out of place"),
        (r"^a|b$", "anchor beside"),
        (r"a|", "empty alternative"),
        (r"()", "empty alternative"),
        (r"", "empty alternative"),
        (r"^$", "empty alternative"),
        (r"(a", "unclosed"),
        (r"a)", "unmatched"),
        (r"[a", "closing"),
        (r"[]", "empty bracket"),
        (r"[z-a]", "empty range"),
        (r"[a-\d]", "range with"),
        (r"[[:alpha:]]", "'\\['"),
        (r"(a?|b)*", "can be empty"),
        (r"(a*)+", "can be empty"),
        (r"((a{200}){200}){200}", "states"),
        ("a\\", "character after"),
        ("a\x00", "cannot hold"),
        ("\ud800", "cannot hold"),
    ],
)
def test_pattern_outside_the_subset_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        PortablePattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "sql"),
    [
        (r"^[A-Z0-9./]+$", r"^[A-Z0-9\.\/]+$"),
        (r"^\d+$", r"^[0-9]+$"),
        (r"(a|b)", r"(?:a|b)"),
        ("é", r"\u00e9"),
        ("😀", r"\U0001f600"),
        (r"\t", r"\u0009"),
    ],
)
def test_pattern_rendering_for_postgresql_is_explicit(pattern: str, sql: str) -> None:
    assert PortablePattern(pattern).sql == sql


def test_pattern_error_names_pattern_position_and_remedy() -> None:
    with pytest.raises(ValueError, match=r"pattern '\^a\|b\$' has an anchor beside .* write \^\(\.\.\.\|\.\.\.\)\$"):
        PortablePattern("^a|b$")
