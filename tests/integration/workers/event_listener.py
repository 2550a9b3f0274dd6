"""Listens until it is killed, and notes each event that its callback got.

Job: `login`, `subscriber_id`, `notes`: a file to which a line (entity, version) goes for each event. The note is there
even if this process is killed right after. Tells `listening` once it has started.
"""

from __future__ import annotations

import os
import random
import signal
import time

from store.events import ChangeEvent, EventBus
from store.subscriptions import SubscriptionListener
from tests.integration.workers.telling import job, tell


def main() -> None:
    asked = job()
    notes = os.open(asked["notes"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(event: ChangeEvent) -> None:
        os.write(notes, f"{event.entity_id} {event.version}\n".encode())
        if random.random() < 0.005:
            time.sleep(0.01)

    bus = EventBus()
    bus.on_all(note)
    SubscriptionListener(bus, **asked["login"], subscriber_id=asked["subscriber_id"], from_beginning=True).start()
    tell(listening=True)
    signal.pause()


if __name__ == "__main__":
    main()
