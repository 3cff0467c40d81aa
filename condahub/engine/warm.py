"""A few engine children that stay, so that a quick question does not wait for one to start; each serves one owner alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from condahub.engine.protocol import SolveAnswer, WouldItSolve, encode_request
from condahub.engine.runner import Child, EngineFailed, Listener, answer_of, child_environment, hosts_of
from condahub.errors import Unavailable

MAX_CHILDREN = 2
# py-rattler keeps what it has seen: a child is replaced before that is much.
MAX_SOLVES = 50
MAX_MEMORY_BYTES = 512 * 1024 * 1024
MAX_IDLE_SECONDS = 300.0
WAIT_SECONDS = 5.0


@dataclass
class _Warm:
    """A child, whose it is, and what it has done."""

    owner: str
    hosts: frozenset[str]
    child: Child
    solves: int = 0
    used_at: float = field(default_factory=time.monotonic)


class WarmPool:
    """At most `children` at once. An owner is whoever's rights the questions have: an organization, or a person in one."""

    def __init__(self, *, children: int = MAX_CHILDREN, max_solves: int = MAX_SOLVES, max_memory_bytes: int = MAX_MEMORY_BYTES) -> None:
        self._free: list[_Warm] = []
        self._max_solves, self._max_memory_bytes = max_solves, max_memory_bytes
        self._places = threading.BoundedSemaphore(children)
        self._children = children
        self._lock = threading.Lock()

    def ask(self, request: WouldItSolve, *, owner: str, timeout_seconds: float, hosts: Iterable[str] = ()) -> SolveAnswer:
        """Whether it would solve. Raises EngineFailed as `run` does, Unavailable when all children are busy for long."""
        if not self._places.acquire(timeout=min(WAIT_SECONDS, timeout_seconds)):
            raise Unavailable("Other questions are being solved.")
        try:
            known = frozenset({*hosts_of(request), *hosts})
            warm = self._take(owner, known)
            listener = self._listen(warm, request, timeout_seconds)
            if not listener.has_answer and warm.solves:
                # It died while it waited; that says nothing about this question.
                warm = _Warm(owner, known, Child(child_environment(known)))
                listener = self._listen(warm, request, timeout_seconds)
            answer = answer_of(request, listener.outcome(warm.child.last_errors))
            assert isinstance(answer, SolveAnswer)
            return answer
        finally:
            self._places.release()

    def close(self) -> None:
        """End all that are free."""
        with self._lock:
            ending, self._free = self._free, []
        for warm in ending:
            warm.child.close()

    def _take(self, owner: str, hosts: frozenset[str]) -> _Warm:
        now = time.monotonic()
        with self._lock:
            ending = [warm for warm in self._free if now - warm.used_at > MAX_IDLE_SECONDS or warm.child.process.poll() is not None]
            self._free = [warm for warm in self._free if warm not in ending]
            found = next((warm for warm in self._free if (warm.owner, warm.hosts) == (owner, hosts)), None)
            if found is not None:
                self._free.remove(found)
            elif len(self._free) >= self._children:
                ending.append(self._free.pop(0))
        for warm in ending:
            warm.child.close()
        return found or _Warm(owner, hosts, Child(child_environment(hosts)))

    def _give_back(self, warm: _Warm) -> None:
        warm.solves += 1
        warm.used_at = time.monotonic()
        if warm.solves >= self._max_solves or warm.child.memory_bytes() > self._max_memory_bytes:
            warm.child.close()
            return
        with self._lock:
            self._free.append(warm)

    def _listen(self, warm: _Warm, request: WouldItSolve, timeout_seconds: float) -> Listener:
        """Ask the child. One that gave its answer, be it an error, is as good as before; any other ends."""
        listener = Listener(lambda event: None)
        deadline = time.monotonic() + timeout_seconds
        try:
            warm.child.feed(encode_request(request) + b"\n", last=False)
            while not listener.has_answer and not warm.child.ended():
                for line in warm.child.lines():
                    listener.hear(line)
                if time.monotonic() > deadline and not listener.has_answer:
                    raise EngineFailed(f"Solving took longer than {timeout_seconds:g} seconds.", code="timed_out", status=422)
            for line in warm.child.lines(wait=False):
                listener.hear(line)
        finally:
            self._give_back(warm) if listener.has_answer else warm.child.close()
        return listener
