"""Price and Greeks of options as columns of Deephaven tables, ticking with what they are computed from.

Two ways, both computed in Java: `with_greeks` gives the figures of `risk_engine.black_scholes`, limits included, to
within rounding. `greek_formulas` gives formulas that any client can put into `table.update(...)`: they call the class
that Deephaven brings, which is faster, and whose normal distribution is good to seven digits: prices differ by up to
1.5e-7 of spot and strike. Both are null where an input is null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deephaven.table import Table

__all__ = ["greek_formulas", "with_greeks"]

_CLASS = "io.deephaven.numerics.derivatives.BlackScholes"
_ERFC = "org.apache.commons.math3.special.Erf.erfc"
_GREEKS = ("Price", "Delta", "Gamma", "Vega", "Theta", "Rho")
# As `risk_engine` computes them; $ stands before a column of our own, @ before a result.
_FORMULAS = (
    "$Carry = exp(-$Q * $T)",
    "$Asset = $S * $Carry",
    "$Cash = $K * exp(-$R * $T)",
    "$Deviation = $V * sqrt($T)",
    "$D1 = isNull($Asset) || isNull($Cash) || isNull($Deviation) ? NULL_DOUBLE"
    " : isNaN($Asset + $Cash + $Deviation) ? NAN_DOUBLE"
    " : $K == 0.0 ? POS_INFINITY_DOUBLE : $S == 0.0 ? NEG_INFINITY_DOUBLE"
    " : $Asset == $Cash ? 0.5 * $Deviation"
    # Two numbers whose quotient is out of range still have logarithms.
    " : $Deviation > 0.0 ? (isFinite(log($Asset / $Cash)) ? log($Asset / $Cash) : log($Asset) - log($Cash))"
    " / $Deviation + 0.5 * $Deviation"
    " : $Asset > $Cash ? POS_INFINITY_DOUBLE : NEG_INFINITY_DOUBLE",
    f"$Above = isNull($D1) || isNull($Sign) ? NULL_DOUBLE : 0.5 * {_ERFC}(-$Sign * $D1 / sqrt(2.0))",
    f"$Below = isNull($D1) || isNull($Sign) ? NULL_DOUBLE : 0.5 * {_ERFC}(-$Sign * ($D1 - $Deviation) / sqrt(2.0))",
    "$Density = exp(-0.5 * $D1 * $D1) / sqrt(2.0 * PI)",
    "$Spread = $Asset * $Density",
    "$Value = $Sign * ($Asset * $Above - $Cash * $Below)",
    "@Price = $Value < 0.0 && !isNull($Value) ? 0.0 : $Value",
    "@Delta = $Sign * $Carry * $Above",
    "@Gamma = $S == 0.0 || $Deviation == 0.0 ? 0.0 : $Carry * $Density / $S / $Deviation",
    "@Vega = $Spread * sqrt($T)",
    "$Decay = $T == 0.0 || $V == 0.0 ? 0.0 : $Spread * $V / (2.0 * sqrt($T))",
    "@Theta = $Sign * ($Q * $Asset * $Above - $R * $Cash * $Below) - $Decay",
    "@Rho = $Sign * $T * $Cash * $Below",
)


def greek_formulas(
    *,
    is_call: str = "IsCall",
    spot: str = "Spot",
    strike: str = "Strike",
    years: str = "Years",
    rate: str = "Rate",
    volatility: str = "Volatility",
    dividend_yield: str = "0.0",
    prefix: str = "Option",
) -> list[str]:
    """Return formulas for `table.update` that add Price, Delta, Gamma, Vega, Theta and Rho, in the units of `Greeks`.

    Args:
        is_call: A column name or an expression: true for a call.
        spot: A column name or an expression, and so are the others.
        strike: See `risk_engine.black_scholes`.
        years: See there.
        rate: See there.
        volatility: See there.
        dividend_yield: See there.
        prefix: What the names of the new columns begin with.

    Example:
        >>> greek_formulas(rate="0.05")[2].split(" = ")[0]
        'OptionGamma'
    """
    numbers = [f"(double)({text})" for text in (spot, strike, years, rate)]
    arguments = ", ".join([*numbers, f"(double)({rate}) - (double)({dividend_yield})", f"(double)({volatility})"])
    nulls = " || ".join(f"isNull({text})" for text in (spot, strike, years, rate, volatility, dividend_yield))
    formulas = []
    for name in _GREEKS:
        one_side = name in ("Gamma", "Vega")
        call = f"{_CLASS}.{name.lower()}({'' if one_side else f'(boolean)({is_call}), '}{arguments})"
        unknown = nulls if one_side else f"isNull({is_call}) || {nulls}"
        formulas.append(f"{prefix}{name} = {unknown} ? NULL_DOUBLE : {call}")
    return formulas


def with_greeks(
    table: Table,
    *,
    is_call: str = "IsCall",
    spot: str = "Spot",
    strike: str = "Strike",
    years: str = "Years",
    rate: str = "Rate",
    volatility: str = "Volatility",
    dividend_yield: str = "0.0",
    prefix: str = "Option",
) -> Table:
    """Return a table with Price, Delta, Gamma, Vega, Theta and Rho added: the figures of `risk_engine.black_scholes`.

    Args:
        table: Any table, ticking or not; in a thread of its own, inside Deephaven's execution context.
        is_call: A column name or an expression: true for a call.
        spot: A column name or an expression, and so are the others.
        strike: See `risk_engine.black_scholes`.
        years: See there.
        rate: See there.
        volatility: See there.
        dividend_yield: See there.
        prefix: What the names of the new columns begin with.

    Example:
        >>> priced = with_greeks(options, spot="Price", rate="0.05")
    """
    own = f"{prefix}Bsm"  # what the formulas need in between
    inputs = {"S": spot, "K": strike, "T": years, "R": rate, "V": volatility, "Q": dividend_yield}
    steps = [f"{own}{name} = (double)({text})" for name, text in inputs.items()]
    steps.append(f"{own}Sign = isNull({is_call}) ? NULL_DOUBLE : (boolean)({is_call}) ? 1.0 : -1.0")
    steps += [formula.replace("$", own).replace("@", prefix) for formula in _FORMULAS]
    kept = [f"{prefix}{name}" for name in _GREEKS]
    added = [step.split(" = ")[0] for step in steps]
    return table.update(steps).drop_columns([name for name in added if name not in kept])
