"""Shards rendered in processes beside the hub's are those that it renders itself."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from channels_app.index import beside
from channels_app.index.beside import Batch, Key, render, render_all
from channels_app.index.render import FileRow


def batch(number: int) -> Batch:
    """A name to show and one of which nothing is left."""
    name = f"tool{number}"
    record = json.dumps({"build": "0", "depends": ["ü >=1"], "md5": "0" * 32, "name": name, "sha256": "1" * 64, "version": "1.0"})
    shown = FileRow(f"{name}-1.0-0.conda", "live", record, '{"weak":["a"]}', '{"summary":"x"}', '{"license":"MIT"}', number % 2 == 0)
    held = FileRow("other-1.0-0.conda", "held", record, "{}", "{}", "", False)
    return {Key("linux-64", name): [shown], Key("noarch", f"other{number}"): [held]}


def test_they_are_the_same_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "WORTH_A_CHILD_NAMES", 1)
    batches = [batch(number) for number in range(7)]
    assert list(render_all(batches, names=14)) == [render(one) for one in batches]


def test_a_child_that_is_gone_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "WORTH_A_CHILD_NAMES", 1)
    started: list[int] = []
    enter = beside._Child.__enter__

    def entered(self: beside._Child) -> beside._Child:
        enter(self)
        started.append(self._process.pid)
        return self

    monkeypatch.setattr(beside._Child, "__enter__", entered)

    def batches() -> Iterator[Batch]:
        yield batch(0)
        for pid in started:
            os.kill(pid, signal.SIGKILL)
        yield batch(1)
        yield batch(2)

    assert list(render_all(batches(), names=6)) == [render(batch(number)) for number in range(3)]
