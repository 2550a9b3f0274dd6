"""What protects the store, one by one: where it stands in the code, and the code without it.

`tools/protection_matrix.py` takes each away in a copy of the project, runs the suite of attacks there, and writes which
tests fail into docs/security.md.
"""

from __future__ import annotations

from tests.integration.hostile.protection import Protection
from tests.integration.hostile.protections_of_access import PROTECTIONS_OF_ACCESS
from tests.integration.hostile.protections_of_amounts import PROTECTIONS_OF_AMOUNTS
from tests.integration.hostile.protections_of_batches import PROTECTIONS_OF_BATCHES
from tests.integration.hostile.protections_of_lifecycles import PROTECTIONS_OF_LIFECYCLES
from tests.integration.hostile.protections_of_machine import PROTECTIONS_OF_MACHINE
from tests.integration.hostile.protections_of_objects import PROTECTIONS_OF_OBJECTS
from tests.integration.hostile.protections_of_publication import PROTECTIONS_OF_PUBLICATION
from tests.integration.hostile.protections_of_values import PROTECTIONS_OF_VALUES

__all__ = ["PROTECTIONS", "Protection"]

PROTECTIONS: list[Protection] = [
    *PROTECTIONS_OF_OBJECTS,
    *PROTECTIONS_OF_VALUES,
    *PROTECTIONS_OF_AMOUNTS,
    *PROTECTIONS_OF_BATCHES,
    *PROTECTIONS_OF_ACCESS,
    *PROTECTIONS_OF_PUBLICATION,
    *PROTECTIONS_OF_LIFECYCLES,
    *PROTECTIONS_OF_MACHINE,
]
