"""The world of the API's tests, and builds queued in it."""

from __future__ import annotations

import pytest

from environments_app.models import Build
from tests.api.conftest import World, _fresh_memories, world
from tests.environments_app.building import SPEC, Submit, queue

__all__ = ["_fresh_memories", "world"]


@pytest.fixture
def submit(world: World) -> Submit:
    """`submit("owner", name=..., text=...)` queues a build in acme."""

    def run(who: str = "contributor", *, name: str = "", text: str = SPEC) -> Build:
        return queue(world, who, name=name, text=text)

    return run
