"""Supervises one disposable child process group: input on stdin, JSON lines out, hard limits on time and memory.

A child line is a JSON object. `{"progress": {...}}`, `{"log": text, "level": ...}`, `{"result": {...}}` and
`{"error": {"code", "detail", "hint"}}` are understood by JobContext.run_child; other objects are the caller's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from condahub.errors import HubError
from condahub.jobs.guardian import kill_session, session_members

POLL_SECONDS = 0.2
MEMORY_SAMPLE_SECONDS = 0.5
READ_BYTES = 256 * 1024
MAX_LINE_BYTES = 64 * 1024 * 1024
# How long output is still awaited from a child that has ended, if something else holds its pipes.
DRAIN_SECONDS = 2.0

_GUARDIAN = str(Path(__file__).with_name("guardian.py"))


class ChildFailed(HubError):
    """The child ended badly or broke a limit. 5xx: may be tried again; 422: would end the same way."""

    code = "child_failed"
    status = 500


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child ended: its exit status (128 + signal when killed), and what it took."""

    status: int
    seconds: float
    peak_memory_bytes: int


def memory_bytes(pid: int) -> int:
    """Proportional set size of one process: shared pages count once over all that share them. 0 if it is gone."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


class _Child:
    """One running child: its pipes, its lines, its limits."""

    def __init__(self, argv: Sequence[str], *, stdin: object, env: Mapping[str, str], cwd: Path | None) -> None:
        self.started = time.monotonic()
        self.peak_memory_bytes = 0
        self._input = memoryview(json.dumps(stdin).encode())
        lifeline, self._lifeline = os.pipe()
        keep_ctype = "1" if "LC_CTYPE" in env else "0"
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", _GUARDIAN, str(lifeline), keep_ctype, *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(env),
                cwd=cwd,
                pass_fds=(lifeline,),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(lifeline)
        self._selector = selectors.DefaultSelector()
        self._pipes = {"stdin": self.process.stdin, "stdout": self.process.stdout, "stderr": self.process.stderr}
        for name, pipe in self._pipes.items():
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe, selectors.EVENT_WRITE if name == "stdin" else selectors.EVENT_READ, name)
        self._partial = {"stdout": bytearray(), "stderr": bytearray()}

    def close(self) -> None:
        kill_session(self.process.pid)
        self.process.wait()
        os.close(self._lifeline)
        self._selector.close()
        for pipe in self._pipes.values():
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def lines(self) -> Iterator[tuple[str, bytes]]:
        """What is there now, waiting at most POLL_SECONDS: (stream name, line)."""
        if not self._selector.get_map():
            time.sleep(POLL_SECONDS / 10)
            return
        for key, _ in self._selector.select(POLL_SECONDS):
            pipe: IO[bytes] = key.fileobj  # type: ignore[assignment]
            if key.data == "stdin":
                self._feed(pipe)
            else:
                yield from self._read(pipe, key.data)

    def _feed(self, pipe: IO[bytes]) -> None:
        try:
            self._input = self._input[os.write(pipe.fileno(), self._input[:READ_BYTES]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._input = self._input[:0]
        if not self._input:
            self._selector.unregister(pipe)
            pipe.close()

    def _read(self, pipe: IO[bytes], name: str) -> Iterator[tuple[str, bytes]]:
        try:
            piece = os.read(pipe.fileno(), READ_BYTES)
        except BlockingIOError:
            return
        buffer = self._partial[name]
        buffer += piece
        if not piece:
            self._selector.unregister(pipe)
            buffer += b"\n" if buffer else b""
        if len(buffer) > MAX_LINE_BYTES:
            raise ChildFailed("The work's process wrote a line without an end.", status=422)
        if b"\n" in buffer:
            *whole, rest = bytes(buffer).split(b"\n")
            buffer[:] = rest
            for line in whole:
                yield name, line

    @property
    def has_ended(self) -> bool:
        # Not reaped yet: until its session is killed, the number must not become another process's.
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    @property
    def silent(self) -> bool:
        """Both output pipes have ended."""
        return not any(key.data != "stdin" for key in self._selector.get_map().values())


def supervise(
    argv: Sequence[str],
    *,
    stdin: object,
    env: Mapping[str, str],
    cwd: Path | None = None,
    timeout_seconds: float,
    max_memory_bytes: int | None = None,
    on_output: Callable[[dict[str, Any]], None],
    on_error_line: Callable[[str], None],
    check: Callable[[], None],
) -> ChildEnd:
    """Run argv in a session of its own and return how it ended; whatever happens, none of its processes is left.

    stdin: any JSON value, written whole, then closed; env: the whole environment; on_output gets each JSON object of
    stdout, on_error_line each line of stderr (and what is not JSON on stdout); `check` is called several times a second
    and ends the child by raising. ChildFailed "timed_out" or "out_of_memory" (422) when a limit is broken.
    """
    child = _Child(argv, stdin=stdin, env=env, cwd=cwd)
    deadline = child.started + timeout_seconds
    next_sample = child.started
    ended_at: float | None = None
    try:
        while True:
            for name, line in child.lines():
                _hand_over(name, line, on_output, on_error_line)
            now = time.monotonic()
            if ended_at is None and child.has_ended:
                ended_at = now
            if ended_at is not None and (child.silent or now > ended_at + DRAIN_SECONDS):
                break
            check()
            if now > deadline:
                raise ChildFailed(f"The work took longer than {timeout_seconds:g} seconds.", code="timed_out", status=422)
            if now >= next_sample:
                next_sample = now + MEMORY_SAMPLE_SECONDS
                _sample_memory(child, max_memory_bytes)
    finally:
        child.close()
    return ChildEnd(child.process.returncode, time.monotonic() - child.started, child.peak_memory_bytes)


def _sample_memory(child: _Child, limit_bytes: int | None) -> None:
    used_bytes = sum(memory_bytes(pid) for pid in session_members(child.process.pid))
    child.peak_memory_bytes = max(child.peak_memory_bytes, used_bytes)
    if limit_bytes is not None and used_bytes > limit_bytes:
        raise ChildFailed(f"The work needed more than {limit_bytes / 2**20:.0f} MiB of memory.", code="out_of_memory", status=422)


def _hand_over(name: str, line: bytes, on_output: Callable[[dict[str, Any]], None], on_error_line: Callable[[str], None]) -> None:
    if name == "stdout":
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if isinstance(value, dict):
            on_output(value)
            return
    text = line.decode(errors="replace").rstrip()
    if text:
        on_error_line(text)
