"""Reading the annotations of a class: strings and forward references resolved, `Optional` taken apart.

A class is read while it is being defined, before the dataclass decorator has run and, inside a function, before any
name of the function is reachable from the class. So names are looked up where the interpreter stands: in the class
body, in the frames of the module that defines the class, in the module, in the builtins.
"""

from __future__ import annotations

import builtins
import inspect
import sys
import types
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import KW_ONLY, InitVar
from typing import Annotated, Any, ClassVar, ForwardRef, Literal, NamedTuple, Union, get_args, get_origin

__all__ = ["ClassAnnotations", "definition_names", "read_annotations", "resolve", "split_optional", "type_label"]

Names = Mapping[str, Any]


class ClassAnnotations(NamedTuple):
    """The fields that a class itself declares, and the names its annotations refer to.

    Attributes:
        fields: Field name to resolved annotation, in the order of the class body.
        unresolved: Field name to the reason why its annotation could not be resolved.
    """

    fields: dict[str, Any]
    unresolved: dict[str, str]


def definition_names(cls: type, beyond: Names | None = None) -> Names:
    """Return the names that are visible where a class is being defined.

    The stack is searched for frames of the class's own module: the functions around a local class are among them.

    Args:
        cls: The class.
        beyond: Names to fall back on, such as those of a class that has this one for a field's type.
    """
    # Of the class body, only types: after `date: date = None` the name means a default there, not the type.
    spaces: list[Names] = [{name: value for name, value in vars(cls).items() if isinstance(value, type)}]
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "builtins") == cls.__module__:
            spaces.append(frame.f_locals)
            if frame.f_locals is not frame.f_globals:
                spaces.append(frame.f_globals)
        frame = frame.f_back
    module = sys.modules.get(cls.__module__)
    if module is not None:
        spaces.append(vars(module))
    spaces += [vars(builtins), beyond or {}]
    return ChainMap(*spaces)  # type: ignore[arg-type]


def resolve(annotation: Any, names: Names | None) -> Any:
    """Return an annotation with strings evaluated and typing's spellings reduced to the builtins.

    `Optional[X]` becomes `Union[X, None]`, `typing.List[X]` becomes `list[X]`; `Annotated[X, ...]`, a NewType of X and
    an alias of X become `X`.

    Args:
        annotation: A type, a typing construct, a string or a forward reference.
        names: Where strings look up their names; None refuses strings, for what does not come from a class body.

    Raises:
        Exception: Whatever evaluating a string raises, most often NameError.
    """
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        if names is None:
            raise TypeError(f"{annotation!r} is text, not a type")
        return resolve(eval(annotation, {"__builtins__": builtins}, names), names)
    if annotation is None:
        return type(None)
    if hasattr(annotation, "__supertype__"):
        return resolve(annotation.__supertype__, names)
    if type(annotation).__name__ == "TypeAliasType":  # the type statement of Python 3.12
        return resolve(annotation.__value__, names)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return resolve(arguments[0], names)
    if origin in (Union, types.UnionType):
        return Union[tuple(resolve(argument, names) for argument in arguments)]  # noqa: UP007 - built at run time
    if origin in (list, tuple, dict):
        return origin[tuple(resolve(a, names) for a in arguments)] if arguments else origin
    return annotation


def split_optional(annotation: Any) -> tuple[Any, bool]:
    """Return a resolved annotation without None, and whether None was part of it.

    Example:
        >>> split_optional(Union[int, None])
        (<class 'int'>, True)
    """
    if get_origin(annotation) is not Union:
        return annotation, False
    rest = tuple(argument for argument in get_args(annotation) if argument is not type(None))
    nullable = len(rest) < len(get_args(annotation))
    return Union[rest], nullable  # noqa: UP007 - a Union of one type is that type


def type_label(annotation: Any) -> str:
    """Return an annotation as one writes it: `float`, `list[str]`, `str | None`.

    Example:
        >>> type_label(Union[int, None])
        'int | None'
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is type(None):
        return "None"
    if annotation is Ellipsis:
        return "..."
    if origin is Union:
        return " | ".join(type_label(argument) for argument in arguments)
    if origin is Literal:
        return f"Literal[{', '.join(repr(argument) for argument in arguments)}]"
    if origin is not None and arguments:
        return f"{type_label(origin)}[{', '.join(type_label(argument) for argument in arguments)}]"
    return getattr(annotation, "__qualname__", None) or repr(annotation)


def _is_field(annotation: Any) -> bool:
    return not (
        annotation is ClassVar
        or get_origin(annotation) is ClassVar
        or annotation is KW_ONLY
        or annotation is InitVar
        or isinstance(annotation, InitVar)
    )


def read_annotations(cls: type, names: Names | None = None) -> ClassAnnotations:
    """Return the dataclass fields that a class body declares, resolved.

    `ClassVar` and `InitVar` annotations and the `KW_ONLY` marker are no fields. Inherited annotations are not included.

    Args:
        cls: The class, decorated or not yet.
        names: Where strings look up their names; by default, what is visible where the caller stands.
    """
    own: dict[str, Any] = inspect.get_annotations(cls)
    if names is None:
        names = definition_names(cls)
    fields: dict[str, Any] = {}
    unresolved: dict[str, str] = {}
    for name, annotation in own.items():
        try:
            resolved = resolve(annotation, names)
        except Exception as error:  # evaluating an annotation runs the user's expression: anything may come back
            unresolved[name] = f"{type(error).__name__}: {error}"
            continue
        if _is_field(resolved):
            fields[name] = resolved
    return ClassAnnotations(fields, unresolved)
