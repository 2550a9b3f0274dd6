"""A class held against what is published of its type, before it is first used with a database."""

from __future__ import annotations

import json

from store.base import Storable
from store.connection import Database
from store.errors import SchemaDrift, Violation
from store.publication import field_differences, publication_of

__all__ = ["require_agreement"]


def require_agreement(database: Database, cls: type[Storable]) -> None:
    """Refuse a class that could not read, or not write, what is published of its type; asked once a class and client.

    Raises:
        SchemaDrift: The differences, and what to do.
    """
    if cls in database.agreed:
        return
    type_name = cls.type_name()
    rows = database.fetch("publication", type_name)
    if rows:
        revision, document, earlier = rows[0]
        differences = field_differences(json.loads(document), publication_of(cls), json.loads(earlier))
        if differences:
            violations = [Violation(name, "drift", there, here, text) for name, there, here, text in differences]
            listed = "".join(f"\n  - {type_name}.{violation.message}" for violation in violations)
            raise SchemaDrift(
                f"the class {cls.__module__}.{cls.__qualname__} is not the {type_name} that is published here, as"
                f" revision {revision}:{listed}\nuse the class as it was published, or have an administrator publish"
                f" this one (python -m store publish {cls.__module__}), which says how to migrate what is stored",
                type_name=type_name,
                violations=violations,
            )
    database.agreed.add(cls)
