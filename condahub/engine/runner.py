"""Starts an engine child, hands it one request, listens, and ends it at its limits; and what another supervisor needs to do so.

A job supervises its children itself: it takes `child_argv`, `child_environment` and protocol.stdin_of. `run` is for
everybody else: the command on a person's machine, tests, measurements.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO

import msgspec

import condahub
from condahub.engine.protocol import (
    Archive,
    ArchiveAnswer,
    Compile,
    CompileAnswer,
    Conflict,
    Event,
    Install,
    InstallAnswer,
    LayOver,
    LayOverAnswer,
    LinkWheels,
    LinkWheelsAnswer,
    Request,
    RunScripts,
    RunScriptsAnswer,
    Solve,
    SolveAnswer,
    WouldItSolve,
    encode_request,
)
from condahub.errors import HubError

POLL_SECONDS = 0.1
MEMORY_SAMPLE_SECONDS = 0.5
LAST_ERROR_LINES = 20
# The discard port (RFC 863), where nothing listens any more: what is not the hub goes nowhere.
CLOSED_PROXY = "http://127.0.0.1:9"
PASSED_ON_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP", "SSL_CERT_FILE", "SSL_CERT_DIR")

Answer = SolveAnswer | InstallAnswer | CompileAnswer | ArchiveAnswer | LinkWheelsAnswer | RunScriptsAnswer | LayOverAnswer
ANSWERS: Mapping[type[Request], type[Answer]] = {
    Solve: SolveAnswer,
    WouldItSolve: SolveAnswer,
    Install: InstallAnswer,
    Compile: CompileAnswer,
    Archive: ArchiveAnswer,
    LinkWheels: LinkWheelsAnswer,
    RunScripts: RunScriptsAnswer,
    LayOver: LayOverAnswer,
}


class EngineFailed(HubError):
    """The child said what went wrong, or ended without a word. conflict: set when an environment can't be solved."""

    code = "engine_failed"
    status = 500
    conflict: Conflict | None = None


class Cancelled(EngineFailed):
    code = "cancelled"
    status = 409


def child_argv(*verbs: str) -> list[str]:
    """The command line of a child; it never holds anything of a request. verbs: what it will be asked for, to be ready sooner."""
    return [sys.executable, "-s", "-P", "-m", "condahub.engine.child", *verbs]


def child_environment(hosts: Iterable[str], *, threads: int | None = None) -> dict[str, str]:
    """The whole environment of a child. hosts: those it may speak to directly (the hub's, its storage's if the hub redirects
    there); every other address is behind a proxy that does not answer.
    """
    count = str(threads or max(1, min(8, os.cpu_count() or 1)))
    environment = {name: os.environ[name] for name in PASSED_ON_VARIABLES if name in os.environ}
    direct = ",".join(sorted({host for host in hosts if host}))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        environment[name] = environment[name.lower()] = CLOSED_PROXY
    environment |= {
        "NO_PROXY": direct,
        "no_proxy": direct,
        "PYTHONPATH": str(Path(condahub.__file__).resolve().parent.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
        "MALLOC_ARENA_MAX": "2",
        "TOKIO_WORKER_THREADS": count,
        "RAYON_NUM_THREADS": count,
    }
    return environment


def personal_environment() -> dict[str, str]:
    """The environment of a child on a person's own machine: it reaches what the person reaches, by the person's own proxy."""
    closed = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
    environment = {name: value for name, value in child_environment(()).items() if name.upper() not in closed}
    return environment | {name: value for name, value in os.environ.items() if name.upper() in closed}


def hosts_of(request: Request) -> set[str]:
    """The hosts of the request's channels."""
    return {channel.host for channel in request.channels} if isinstance(request, Solve | Install) else set()


def answer_of(request: Request, result: Mapping[str, object]) -> Answer:
    """The typed answer from a `result` event's plain values."""
    return msgspec.convert(result, ANSWERS[type(request)])


def run(
    request: Request,
    *,
    on_event: Callable[[Event], None] = lambda event: None,
    timeout_seconds: float = 600.0,
    max_memory_bytes: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    hosts: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Answer:
    """Run one request in a child of its own and return its typed answer.

    on_event gets progress and log lines; hosts: others that the hub's answers may redirect to; environment: in place of
    `child_environment`'s, for one that belongs to the person and not to a hub. Raises EngineFailed with
    the child's own code and sentence, `timed_out`, `out_of_memory`, or Cancelled; then no process of it is left.
    """
    child = Child(child_environment({*hosts_of(request), *hosts}) if environment is None else environment)
    listener = Listener(on_event)
    deadline = time.monotonic() + timeout_seconds
    next_sample = 0.0
    try:
        child.feed(encode_request(request) + b"\n")
        while not child.ended():
            for line in child.lines():
                listener.hear(line)
            now = time.monotonic()
            if cancelled():
                raise Cancelled("The work was cancelled.")
            if now > deadline:
                raise EngineFailed(f"The work took longer than {timeout_seconds:g} seconds.", code="timed_out", status=422)
            if max_memory_bytes is not None and now >= next_sample:
                next_sample = now + MEMORY_SAMPLE_SECONDS
                if child.memory_bytes() > max_memory_bytes:
                    raise EngineFailed(
                        f"The work needed more than {max_memory_bytes / 2**20:.0f} MiB of memory.", code="out_of_memory", status=422
                    )
        for line in child.lines(wait=False):
            listener.hear(line)
    finally:
        child.close()
    return answer_of(request, listener.outcome(child.last_errors))


class Listener:
    """Sorts what a child says."""

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        self._on_event = on_event
        self._last: Event | None = None
        self._conflict: Conflict | None = None

    def hear(self, line: bytes) -> None:
        """Take one line."""
        try:
            event = msgspec.json.decode(line, type=Event)
        except msgspec.DecodeError:
            event = Event(log=line.decode(errors="replace").rstrip(), level="child")
        if event.conflict is not None:
            self._conflict = event.conflict
        elif event.result is not None or event.error is not None:
            self._last = event
        else:
            self._on_event(event)

    @property
    def has_answer(self) -> bool:
        return self._last is not None

    def outcome(self, last_errors: list[str]) -> dict[str, object]:
        """The result; raises EngineFailed for an error, or for none of both."""
        if self._last is not None and self._last.result is not None:
            return self._last.result
        if self._last is not None and self._last.error is not None:
            said = self._last.error
            error = EngineFailed(said.detail, code=said.code, hint=said.hint, status=said.status)
            error.conflict = self._conflict
            raise error
        raise EngineFailed("The engine's process ended before it had a result.", hint="\n".join(last_errors)[-2000:])


class Child:
    """One running child in a session of its own."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            child_argv(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd=os.path.abspath(os.sep),
            start_new_session=True,
        )
        self.last_errors: list[str] = []
        self._is_silent = False
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._read, args=(self.process.stdout, self._lines.put), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self._error_line), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _read(pipe: IO[bytes], take: Callable[[bytes], None]) -> None:
        with contextlib.suppress(ValueError, OSError):
            for line in pipe:
                take(line)
        take(b"")

    def _error_line(self, line: bytes) -> None:
        if not line:
            return
        self.last_errors = [*self.last_errors[-LAST_ERROR_LINES + 1 :], line.decode(errors="replace").rstrip()]

    def feed(self, data: bytes, *, last: bool = True) -> None:
        """Hand over a request; after the last one the child ends."""
        pipe = self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            if pipe is not None:
                pipe.write(data)
                pipe.close() if last else pipe.flush()

    def lines(self, *, wait: bool = True) -> Iterable[bytes]:
        """What has been said; waits at most POLL_SECONDS for the first line."""
        with contextlib.suppress(queue.Empty):
            line = self._lines.get(timeout=POLL_SECONDS) if wait else self._lines.get_nowait()
            while True:
                if line:
                    yield line
                else:
                    self._is_silent = True
                line = self._lines.get_nowait()

    def ended(self) -> bool:
        if self._is_silent:
            # It has closed its output: it is about to end.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(POLL_SECONDS)
        if self.process.poll() is None:
            return False
        for thread in self._threads:
            thread.join(timeout=2.0)
        return True

    def memory_bytes(self) -> int:
        """Proportional set size of the child's whole session where /proc tells it, else 0."""
        total = 0
        for pid in _session(self.process.pid):
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
                    if line.startswith(b"Pss:"):
                        total += int(line.split()[1]) * 1024
        return total

    def close(self) -> None:
        if os.name == "posix":
            # The group is the session's first; what left it is found by the session.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            for pid in _session(self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join(timeout=2.0)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _session(session: int) -> list[int]:
    members = []
    for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                # After the name in parentheses: state, ppid, pgrp, session (proc_pid_stat(5)).
                fields = Path(f"/proc/{entry}/stat").read_bytes().rpartition(b")")[2].split()
                if int(fields[3]) == session and fields[0] not in (b"Z", b"X"):
                    members.append(int(entry))
    return members
