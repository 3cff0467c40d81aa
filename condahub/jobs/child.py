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
from typing import IO, Any, Self

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

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None) -> None:
        self.started = time.monotonic()
        self.peak_memory_bytes = 0
        self._next_sample = self.started
        self._input = memoryview(b"")
        self._is_last = False
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
                if name != "stdin":
                    self._selector.register(pipe, selectors.EVENT_READ, name)
        self._partial = {"stdout": bytearray(), "stderr": bytearray()}

    def feed(self, value: object, *, last: bool) -> None:
        """Have one line with this JSON value written; after the last one the pipe is closed."""
        pipe = self._pipes["stdin"]
        if pipe is None or pipe.closed:
            return
        if not self._input:
            self._selector.register(pipe, selectors.EVENT_WRITE, "stdin")
        self._input = memoryview(bytes(self._input) + json.dumps(value).encode() + b"\n")
        self._is_last = last

    def attend(
        self,
        *,
        until: Callable[[], bool],
        timeout_seconds: float,
        max_memory_bytes: int | None,
        on_output: Callable[[dict[str, Any]], None],
        on_error_line: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        """Listen until `until()` holds, or the child has ended and all that it said is heard.

        Raises ChildFailed at a limit, and what `check` raises.
        """
        deadline = time.monotonic() + timeout_seconds
        ended_at: float | None = None
        while not until():
            for name, line in self.lines():
                _hand_over(name, line, on_output, on_error_line)
            now = time.monotonic()
            if ended_at is None and self.has_ended:
                ended_at = now
            if ended_at is not None and (self.silent or now > ended_at + DRAIN_SECONDS):
                return
            check()
            if now > deadline:
                raise ChildFailed(f"The work took longer than {timeout_seconds:g} seconds.", code="timed_out", status=422)
            if now >= self._next_sample:
                self._next_sample = now + MEMORY_SAMPLE_SECONDS
                self._sample_memory(max_memory_bytes)

    def _sample_memory(self, limit_bytes: int | None) -> None:
        used_bytes = sum(memory_bytes(pid) for pid in session_members(self.process.pid))
        self.peak_memory_bytes = max(self.peak_memory_bytes, used_bytes)
        if limit_bytes is not None and used_bytes > limit_bytes:
            raise ChildFailed(f"The work needed more than {limit_bytes / 2**20:.0f} MiB of memory.", code="out_of_memory", status=422)

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
            self._input, self._is_last = self._input[:0], True
        if not self._input:
            self._selector.unregister(pipe)
            if self._is_last:
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

    def end(self) -> ChildEnd:
        """Once closed."""
        return ChildEnd(self.process.returncode, time.monotonic() - self.started, self.peak_memory_bytes)

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
    child = _Child(argv, env=env, cwd=cwd)
    try:
        child.feed(stdin, last=True)
        child.attend(
            until=lambda: False,
            timeout_seconds=timeout_seconds,
            max_memory_bytes=max_memory_bytes,
            on_output=on_output,
            on_error_line=on_error_line,
            check=check,
        )
    finally:
        child.close()
    return child.end()


class Conversation:
    """A child that is asked one thing after another, a JSON line each. A context manager: left, no process of it is there any more.

    It starts at once, so that it is ready by the time it is asked; its limits hold while it is asked.
    """

    def __init__(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None, max_memory_bytes: int | None = None
    ) -> None:
        self._child: _Child | None = _Child(argv, env=env, cwd=cwd)
        self._max_memory_bytes = max_memory_bytes

    def ask(
        self,
        value: object,
        *,
        answered: Callable[[], bool],
        timeout_seconds: float,
        on_output: Callable[[dict[str, Any]], None],
        on_error_line: Callable[[str], None],
        check: Callable[[], None],
    ) -> ChildEnd | None:
        """Write the value and listen, as `supervise` does, until `answered()`; how the child ended where it did so before."""
        assert self._child is not None
        self._child.feed(value, last=False)
        try:
            self._child.attend(
                until=answered,
                timeout_seconds=timeout_seconds,
                max_memory_bytes=self._max_memory_bytes,
                on_output=on_output,
                on_error_line=on_error_line,
                check=check,
            )
            ended = not answered()
        except BaseException:
            self.close()
            raise
        if not ended:
            return None
        child = self._child
        self.close()
        return child.end()

    @property
    def is_open(self) -> bool:
        return self._child is not None

    @property
    def peak_memory_bytes(self) -> int:
        return self._child.peak_memory_bytes if self._child is not None else 0

    def close(self) -> None:
        """End it. Safe to repeat."""
        if self._child is not None:
            child, self._child = self._child, None
            child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
