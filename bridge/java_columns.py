"""Cells to Java: arrays for whole batches, single values for row writers. Everything here needs a running JVM."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bridge.cells import JAVA_NAMES, Cell
from bridge.errors import BridgeError

if TYPE_CHECKING:
    from deephaven.dtypes import DType
    from deephaven.table import Table

__all__ = ["check_column_names", "dh_dtype", "java_table", "java_value", "require_jvm"]

_PRIMITIVES = ("byte", "short", "int", "long", "float", "double")
_ELEMENTS = {"bool[]": "bool", "long[]": "long", "double[]": "double", "string[]": "string"}


def require_jvm() -> None:
    """Check that Deephaven runs in this process.

    Raises:
        BridgeError: It does not.
    """
    try:
        from deephaven_internal import jvm

        jvm.check_ready()
    except ModuleNotFoundError as error:
        raise BridgeError(f"{error}: pip install -r requirements-server.txt") from error
    except RuntimeError as error:
        raise BridgeError(
            "no Deephaven server runs in this process; start one first: server.embedded.DeephavenServer().start()"
        ) from error


def check_column_names(table: str, names: Iterable[str]) -> None:
    """Check that Deephaven can have columns of these names.

    Raises:
        BridgeError: One is a reserved word or no identifier, or has a character that does not reach Java.
    """
    import jpy

    validator = jpy.get_type("io.deephaven.api.util.NameValidator")
    for name in names:
        if any(letter > "\uffff" for letter in name):
            raise BridgeError(f"{table}.{name}: a column's name takes no character beyond U+FFFF: rename it")
        try:
            validator.validateColumnName(name)
        except RuntimeError as error:
            raise BridgeError(
                f"{table}.{name}: Deephaven cannot have a column of this name, a reserved word or no identifier; "
                "leave it out with columns="
            ) from error


@functools.cache
def dh_dtype(dh_type: str) -> DType:
    """Return Deephaven's own object for a column type.

    Example:
        >>> dh_dtype("long")
        long
    """
    require_jvm()
    from deephaven import dtypes

    known: dict[str, Any] = {
        "bool[]": dtypes.boolean_array,
        "long[]": dtypes.long_array,
        "double[]": dtypes.double_array,
        "string[]": dtypes.string_array,
        "string": dtypes.string,
        "bool": dtypes.bool_,
        "int": dtypes.int32,
        "float": dtypes.float32,
    }
    found: DType = known[dh_type] if dh_type in known else getattr(dtypes, dh_type)
    return found


@functools.cache
def _null(dh_type: str) -> Any:
    from deephaven import constants

    return getattr(constants, f"NULL_{dh_type.upper()}")


@functools.cache
def _value_maker(dh_type: str) -> Callable[[Cell], Any]:
    """Return what makes a Java value of a cell that is not null."""
    import jpy

    if dh_type in _ELEMENTS:
        return functools.partial(_java_array, _ELEMENTS[dh_type])
    if dh_type == "string":
        return _java_string
    java_class = jpy.get_type(JAVA_NAMES[dh_type])
    if dh_type == "Instant":
        return lambda cell: java_class.ofEpochSecond(*divmod(cell, 1_000_000_000))
    if dh_type == "LocalDate":
        # Days repeat: one Java object for each.
        return functools.lru_cache(maxsize=65536)(java_class.ofEpochDay)
    if dh_type == "LocalTime":
        return java_class.ofNanoOfDay  # type: ignore[no-any-return]
    return java_class  # type: ignore[no-any-return]


def _java_string(text: str) -> Any:
    # jpy 2.2 keeps only the low 16 bits of a character beyond U+FFFF, so such text crosses as bytes.
    if text.isascii() or max(text) <= "\uffff":
        return text
    import jpy

    return jpy.get_type("java.lang.String")(text.encode("utf-16-be", "surrogatepass"), "UTF-16BE")


def java_value(dh_type: str, cell: Cell) -> Any:
    """Return a cell as `DynamicTableWriter.write_row` takes it; numbers, text and booleans stay Python's own.

    Example:
        >>> java_value("long", 3)
        3
    """
    if cell is None or dh_type in ("bool", *_PRIMITIVES) or (dh_type == "string" and cell.isascii()):
        return cell
    require_jvm()
    return _value_maker(dh_type)(cell)


def _java_array(dh_type: str, cells: Sequence[Cell]) -> Any:
    import jpy

    if dh_type in _PRIMITIVES:
        if None in cells:
            null = _null(dh_type)
            cells = [null if cell is None else cell for cell in cells]
        return jpy.array(dh_type, cells)
    if dh_type == "Instant":
        # One crossing into Java for all of them; a null long becomes a null Instant.
        convert = jpy.get_type("io.deephaven.integrations.common.PrimitiveArrayConversionUtility")
        return convert.translateArrayLongToInstant(_java_array("long", cells))
    if dh_type != "bool" and not (dh_type == "string" and "".join(filter(None, cells)).isascii()):
        make = _value_maker(dh_type)
        cells = [None if cell is None else make(cell) for cell in cells]
    return jpy.array(JAVA_NAMES[dh_type], cells)


@functools.cache
def _column_maker(name: str, dh_type: str) -> Callable[[Any], Any]:
    import jpy

    column = jpy.get_type("io.deephaven.qst.column.Column")
    if dh_type in _PRIMITIVES:
        return functools.partial(column.ofUnsafe, name)
    header = jpy.get_type("io.deephaven.qst.column.header.ColumnHeader").of(name, dh_dtype(dh_type).qst_type)
    return functools.partial(column.of, header)


def java_table(types: dict[str, str], rows: Sequence[Sequence[Cell]]) -> Table:
    """Return a static table of rows of cells.

    Args:
        types: Column name to column type, in the order of the cells.
        rows: The rows; none give an empty table.

    Example:
        >>> java_table({"Symbol": "string"}, [("AAPL",)])
    """
    import jpy
    from deephaven.table import Table

    columns_of_cells = zip(*rows, strict=True) if rows else [()] * len(types)
    columns = [
        _column_maker(name, dh_type)(_java_array(dh_type, cells))
        for (name, dh_type), cells in zip(types.items(), columns_of_cells, strict=True)
    ]
    return Table(jpy.get_type("io.deephaven.engine.table.TableFactory").newTable(*columns))
