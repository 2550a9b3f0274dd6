from __future__ import annotations

from threading import Event

import pytest

from workflow import watch
from workflow.watch import Job, Watch


def test_watch_prepares_again_until_it_succeeds_and_only_then_does_its_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "RETRY_SECONDS", 0.01)
    happened: list[str] = []
    done = Event()

    def prepare() -> None:
        happened.append("prepare")
        if len(happened) < 3:
            raise OSError("the server is away")

    def work() -> None:
        happened.append("work")
        done.set()

    looking = Watch([Job(work, 60.0)])
    looking.start(prepare)
    assert done.wait(120)
    looking.stop()
    assert happened == ["prepare", "prepare", "prepare", "work"]
