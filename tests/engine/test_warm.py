"""Warm children: quick answers, one owner each, replaced when they have done enough."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from condahub.engine.protocol import Platform, WouldItSolve
from condahub.engine.runner import EngineFailed
from condahub.engine.warm import WarmPool
from tests.engine.channels import TOKEN, Server
from tests.engine.conftest import Hub


@pytest.fixture
def pool() -> Iterator[WarmPool]:
    pool = WarmPool(children=2, max_solves=3)
    yield pool
    pool.close()


def question(server: Server, hub: Hub, *specs: str) -> WouldItSolve:
    if "team" not in server.served:
        server.channel("team", token=TOKEN).add("lib")
    return WouldItSolve(
        channels=(server.served["team"].channel(),),
        platforms=(Platform(subdir="linux-64"),),
        specs=specs,
        cache_folder=str(hub.folder / "repodata"),
        token=TOKEN,
    )


def pids(pool: WarmPool) -> list[int]:
    return [warm.child.process.pid for warm in pool._free]


def test_an_owner_is_answered_by_the_child_it_had_and_nobody_else_is(server: Server, hub: Hub, pool: WarmPool) -> None:
    ask = question(server, hub, "lib")
    assert pool.ask(ask, owner="one", timeout_seconds=30).lock is not None
    [first] = pids(pool)
    assert pool.ask(question(server, hub, "ghost"), owner="one", timeout_seconds=30).conflict is not None
    assert pids(pool) == [first]
    pool.ask(ask, owner="two", timeout_seconds=30)
    assert len(set(pids(pool))) == 2
    pool.ask(ask, owner="three", timeout_seconds=30)
    assert len(pids(pool)) == 2 and first not in pids(pool)


def test_a_child_is_replaced_after_its_share_of_work(server: Server, hub: Hub, pool: WarmPool) -> None:
    ask = question(server, hub, "lib")
    seen = []
    for _ in range(4):
        pool.ask(ask, owner="one", timeout_seconds=30)
        seen.append(tuple(pids(pool)))
    assert seen[0] == seen[1] and seen[2] == () and seen[3] not in (seen[0], ())


def test_a_child_that_died_or_does_not_answer_is_replaced(server: Server, hub: Hub, pool: WarmPool) -> None:
    ask = question(server, hub, "lib")
    pool.ask(ask, owner="one", timeout_seconds=30)
    os.kill(pids(pool)[0], signal.SIGKILL)
    assert pool.ask(ask, owner="one", timeout_seconds=30).lock is not None
    os.kill(pids(pool)[0], signal.SIGSTOP)
    with pytest.raises(EngineFailed, match="longer"):
        pool.ask(ask, owner="one", timeout_seconds=0.5)
    assert pids(pool) == []
    assert pool.ask(ask, owner="one", timeout_seconds=30).lock is not None


def test_an_error_is_an_answer_and_the_child_stays(server: Server, hub: Hub, pool: WarmPool) -> None:
    with pytest.raises(EngineFailed) as refused:
        pool.ask(question(server, hub, "other::lib"), owner="one", timeout_seconds=30)
    assert refused.value.code == "invalid_spec" and len(pids(pool)) == 1
