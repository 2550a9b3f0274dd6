from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from server.risk_engine import Greeks, black_scholes
from server.table_greeks import greek_formulas, with_greeks

NAMES = ("Price", "Delta", "Gamma", "Vega", "Theta", "Rho")
ROWS = 2000


def options() -> dict[str, np.ndarray]:
    """Random options, and one for each edge of the formula."""
    source = np.random.default_rng(17)
    spot = source.uniform(1, 500, ROWS)
    years, volatility = source.uniform(0.01, 4, ROWS), source.uniform(0.05, 0.9, ROWS)
    columns = {
        "Call": source.random(ROWS) < 0.5,
        "S": spot,
        "K": spot * np.exp(source.uniform(-3, 3, ROWS) * volatility * np.sqrt(years)),
        "T": years,
        "R": source.uniform(-0.02, 0.1, ROWS),
        "V": volatility,
        "Q": source.uniform(0, 0.06, ROWS),
    }
    edges = [
        (call, *rest)
        for call in (True, False)
        for rest in (
            (100.0, 90.0, 0.0, 0.05, 0.2, 0.01),  # at expiry: in, out of and at the money
            (100.0, 110.0, 0.0, 0.05, 0.2, 0.01),
            (100.0, 100.0, 0.0, 0.05, 0.2, 0.01),
            (100.0, 90.0, 1.0, 0.05, 0.0, 0.01),  # without volatility
            (100.0, 120.0, 1.0, 0.05, 0.0, 0.01),
            (100.0, 100.0, 1.0, 0.0, 0.0, 0.0),
            (0.0, 100.0, 1.0, 0.05, 0.2, 0.01),  # of something worth nothing, for nothing
            (100.0, 0.0, 1.0, 0.05, 0.2, 0.01),
            (1e-3, 1e6, 0.1, 0.05, 0.1, 0.0),  # far out of and far in the money
            (1e6, 1e-3, 0.1, 0.05, 0.1, 0.0),
            (1e-300, 100.0, 1000.0, -0.05, 50.0, 0.0),  # where the quotient of spot and strike is out of range
            (1e-300, 1e-300, 1000.0, 0.2, 0.1, 0.2),
            (math.nan, 100.0, 1.0, 0.05, 0.2, 0.0),
        )
    ]
    return {
        name: np.concatenate([column, np.array(edge)])
        for (name, column), edge in zip(columns.items(), zip(*edges, strict=True), strict=True)
    }


INPUTS = {
    "is_call": "Call",
    "spot": "S",
    "strike": "K",
    "years": "T",
    "rate": "R",
    "volatility": "V",
    "dividend_yield": "Q",
}


@pytest.fixture
def table(deephaven_context: Any) -> Any:
    from deephaven import new_table
    from deephaven.column import bool_col, double_col

    columns = options()
    return new_table(
        [
            bool_col("Call", columns.pop("Call").tolist()),
            *(double_col(name, column) for name, column in columns.items()),
        ]
    )


def figures(table: Any) -> Greeks:
    from deephaven.numpy import to_numpy

    return Greeks(*(to_numpy(table.view([f"Option{name}"]))[:, 0] for name in NAMES))


def expected() -> Greeks:
    return black_scholes(*options().values())


def test_with_greeks_agrees_with_numpy_to_rounding_at_every_edge(table: Any) -> None:
    found = with_greeks(table, **INPUTS)
    assert [column.name for column in found.columns] == [*options(), *(f"Option{name}" for name in NAMES)]
    for name, ours, theirs in zip(NAMES, figures(found), expected(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-10, atol=1e-12, err_msg=name)


def test_greek_formulas_agree_with_numpy_as_far_as_deephavens_own_normal_distribution(table: Any) -> None:
    found = figures(table.head(ROWS).update(greek_formulas(**INPUTS)))
    columns = {name: column[:ROWS] for name, column in options().items()}
    theirs = black_scholes(*columns.values())
    error = 1.5e-7 * (columns["S"] + columns["K"])
    bounds = Greeks(
        error,
        np.full(ROWS, 1.5e-7),
        1e-12 * np.abs(theirs.gamma) + 1e-300,
        1e-12 * np.abs(theirs.vega) + 1e-300,
        error * 0.1,
        error * columns["T"],
    )
    for name, ours, exact, bound in zip(NAMES, found, theirs, bounds, strict=True):
        assert np.all(np.abs(ours - exact) <= bound), name


@pytest.mark.parametrize("way", ["exact", "fast"])
@pytest.mark.parametrize("missing", ["Call", "S", "T", "Q"])
def test_greeks_of_a_null_are_null_and_the_table_lives_on(deephaven_context: Any, way: str, missing: str) -> None:
    from deephaven import empty_table
    from deephaven.arrow import to_arrow

    values = {"Call": "true", "S": "100.0", "K": "100.0", "T": "1.0", "R": "0.05", "V": "0.2", "Q": "0.0"}
    null = "NULL_BOOLEAN" if missing == "Call" else "NULL_DOUBLE"
    table = empty_table(2).update(
        [
            f"{name} = i == 0 ? {null} : {value}" if name == missing else f"{name} = {value}"
            for name, value in values.items()
        ]
    )
    found = with_greeks(table, **INPUTS) if way == "exact" else table.update(greek_formulas(**INPUTS))
    first, second = to_arrow(found).to_pylist()
    always_known = {"Gamma", "Vega"} if missing == "Call" else set()
    for name in NAMES:
        assert (first[f"Option{name}"] is None) == (name not in always_known), name
        assert second[f"Option{name}"] is not None


def test_with_greeks_takes_whole_numbers_and_expressions_and_keeps_columns_of_like_names(
    deephaven_context: Any,
) -> None:
    from deephaven import empty_table

    table = empty_table(1).update(["Spot = 100", "Strike = 90 + 10", "Price = 7.0"])
    found = with_greeks(table, is_call="true", years="365 / 365.0", rate="0.05", volatility="0.2")
    row = next(iter(found.iter_dict()))
    assert row["OptionPrice"] == pytest.approx(10.450583572185565)
    assert (row["Spot"], row["Strike"], row["Price"]) == (100, 100, 7.0)
