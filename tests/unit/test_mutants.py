"""Faults that are seeded into code: what is mutated, what is left alone, and how the results are told."""

from __future__ import annotations

import pytest

from tools.equivalent_mutants import EQUIVALENT
from tools.mutants import Mutant, mutants_of
from tools.mutation import TARGETS, alive_on, candidates, scored, with_results
from tools.page_blocks import ROOT, TESTING_PAGE, block, rows, table, with_block

SQL = """
-- a < b in a comment
CREATE FUNCTION store.seen(p integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT p = 1 THEN
        PERFORM store.refuse('a < b AND c');
    END IF;
    RETURN (SELECT true FROM t WHERE t.a <= p AND t.owner = session_user ORDER BY t.a DESC);
END
$$;
"""
PYTHON = '''
"""A module with 1 < 2 in its docstring."""
__all__ = ["f"]


def f(x: int = 3) -> str:
    """Return x < 2."""
    if x < 2 and not done:
        raise ValueError("x < 2")
    return f"({x} + {x})"
'''


def changed(file: str, text: str) -> set[str]:
    """Return the lines that faults leave instead of those of a text."""
    lines = set(text.splitlines())
    return {
        line.strip()
        for mutant in mutants_of(file, text)
        for line in mutant.applied(text).splitlines()
        if line not in lines
    }


def test_sql_faults_are_of_code_only() -> None:
    found = changed("store/sql/seen.sql", SQL)
    query = "RETURN (SELECT true FROM t WHERE {} ORDER BY t.a DESC);"
    assert found == {
        "IF p = 1 THEN",
        "IF NOT p <> 1 THEN",
        "IF NOT p = 2 THEN",
        "IF true THEN",
        "IF false THEN",
        "NULL;",
        query.replace("true", "false").format("t.a <= p AND t.owner = session_user"),
        query.format("t.a < p AND t.owner = session_user"),
        query.format("t.a <= p AND t.owner <> session_user"),
        query.format("t.a <= p OR t.owner = session_user"),
        query.format("t.a <= p AND t.owner = current_user"),
        query.format("true AND t.owner = session_user"),
        query.format("t.a <= p"),
        query.replace(" DESC", "").format("t.a <= p AND t.owner = session_user"),
    }


def test_python_faults_are_of_code_only() -> None:
    assert changed("reactive/expr/f.py", PYTHON) == {
        "if True:",
        "if False:",
        "if x <= 2 and not done:",
        "if x < 3 and not done:",
        "if x < 2 or not done:",
        "if x < 2 and done:",
        "if True and not done:",
        "if x < 2 and True:",
        'return f"({x} - {x})"',
    }


def test_faults_are_drawn_by_what_they_are_and_not_by_where_they_stand() -> None:
    drawn = [mutant.change for mutant in mutants_of("store/sql/seen.sql", SQL)]
    below = "-- new lines above\n" * 3 + SQL
    assert [mutant.change for mutant in mutants_of("store/sql/seen.sql", below)] == drawn
    # Each kind of fault in turn.
    kinds = [mutant.rule for mutant in mutants_of("store/sql/seen.sql", SQL)]
    assert len(set(kinds[: len(set(kinds))])) == len(set(kinds))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_target_has_as_many_faults_as_it_asks_for(target: object) -> None:
    assert isinstance(target, type(TARGETS[0]))
    assert len(list(candidates(target))) >= target.faults
    assert all((ROOT / suite).exists() for suite in target.suites)


def test_known_equivalents_are_faults_of_the_code_as_it_is() -> None:
    files = {file for file, _ in EQUIVALENT}
    found = {
        (file, mutant.change)
        for file in files
        for mutant in mutants_of(file, (ROOT / file).read_text(encoding="utf-8"))
    }
    assert EQUIVALENT.keys() <= found


def test_score_counts_no_equivalents_and_hides_no_survivors(monkeypatch: pytest.MonkeyPatch) -> None:
    target = TARGETS[0]
    same, other, killed = (
        Mutant(target.file, "constant", 0, 1, "2", f"`{name}` → `2`") for name in ("1", "x | y", "3")
    )
    monkeypatch.setitem(EQUIVALENT, (target.file, same.change), "one and two are the same here")
    found = [(same, ""), (other, ""), (killed, "test_it")]
    equal = [target.name, "constant", same.change, "one and two are the same here"]
    alive = [target.name, "constant", other.change, "survives"]
    assert scored(target, found) == ([target.name, "3", "1", "1", "1", "50%"], [equal, alive])
    page = with_block(TESTING_PAGE.read_text(encoding="utf-8"), "faults not killed", table(["target"], []))
    page = with_block(page, "mutation score", table(["target"], []))
    page = with_results(page, target, found)
    assert rows(block(page, "mutation score"))[-1] == ["**all**", "3", "1", "1", "1", "**50%**"]
    assert rows(block(page, "faults not killed")) == [equal, alive]
    assert alive_on(page, target) == {other.change}
    # Those of other targets stay.
    page = with_results(page, TARGETS[1], [(killed, "test_it")])
    assert rows(block(page, "mutation score"))[-1] == ["**all**", "4", "2", "1", "1", "**67%**"]
    assert rows(block(page, "faults not killed")) == [equal, alive]
    # Tried again, one that survived is killed by a new test.
    assert with_results(page, target, [(other, "")], again=True) == page
    page = with_results(page, target, [(other, "test_new")], again=True)
    assert rows(block(page, "mutation score"))[0] == [target.name, "3", "2", "1", "0", "100%"]
    assert rows(block(page, "faults not killed")) == [equal]
    assert alive_on(page, target) == set()


def test_page_tells_of_every_target_and_of_all_that_is_not_killed() -> None:
    page = TESTING_PAGE.read_text(encoding="utf-8")
    scores = {row[0]: row for row in rows(block(page, "mutation score"))}
    assert list(scores) == [*(target.name for target in TARGETS), "**all**"]
    told = [row[0] for row in rows(block(page, "faults not killed"))]
    for target in TARGETS:
        _, tried, killed, equivalent, surviving, _ = scores[target.name]
        assert int(tried) - int(killed) == int(equivalent) + int(surviving) == told.count(target.name)
