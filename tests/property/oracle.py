"""The store's rules of time in the plainest form: a list of events, folded again for every question."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

FAR = datetime.max


@dataclass
class Event:
    version: int
    event_type: str
    tx_time: datetime
    valid_from: datetime
    valid_to: datetime | None
    changes: dict[str, Any]
    state: str | None = None

    def covers(self, valid_time: datetime) -> bool:
        return self.valid_from <= valid_time and (self.valid_to is None or valid_time < self.valid_to)

    def overlaps(self, valid_from: datetime, valid_to: datetime | None) -> bool:
        begins_before_end = valid_to is None or self.valid_from < valid_to
        ends_after_start = self.valid_to is None or valid_from < self.valid_to
        return begins_before_end and ends_after_start


@dataclass
class State:
    """What is known of an entity at one point: its fields and the metadata that go with them."""

    fields: dict[str, Any]
    state: str | None
    version: int
    event_type: str
    tx_time: datetime
    valid_from: datetime
    valid_to: datetime | None


@dataclass
class Entity:
    events: list[Event] = field(default_factory=list)

    @property
    def version(self) -> int:
        return len(self.events)

    def at(self, tx_time: datetime | None, valid_time: datetime, *, see_deleted: bool = False) -> State | None:
        """State(tx_time, valid_time): rule 1, word for word."""
        known = [event for event in self.events if tx_time is None or event.tx_time <= tx_time]
        applying = [event for event in known if event.covers(valid_time)]
        if not applying:
            return None
        last = applying[-1]
        if last.event_type == "DELETED" and not see_deleted:
            return None
        fields: dict[str, Any] = {}
        state = None
        for event in known:
            if event.version == 1 or event in applying:
                fields.update(event.changes)
                state = event.state if event.state is not None else state
        return State(fields, state, known[-1].version, last.event_type, last.tx_time, last.valid_from, last.valid_to)

    def deleted_over(self, valid_from: datetime, valid_to: datetime | None) -> bool:
        return any(e.event_type == "DELETED" and e.overlaps(valid_from, valid_to) for e in self.events)

    def latest_state_change(self) -> datetime:
        return next(e.valid_from for e in reversed(self.events) if e.event_type in ("CREATED", "STATE_CHANGE"))

    def history(self) -> list[State]:
        states = [self.at(event.tx_time, event.valid_from, see_deleted=True) for event in self.events]
        return [state for state in states if state is not None]
