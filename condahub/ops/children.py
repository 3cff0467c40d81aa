"""The supervisor's children: started, listened to, restarted with a growing pause, ended with all they started themselves."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
# A child that lived this long had started well: its next restart is quick again.
STEADY_SECONDS = 60.0
_READ_BYTES = 65536

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent(ending: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """A `preexec_fn`: the kernel sends the child `ending` when its parent is gone, however that came about (Linux; see prctl(2))."""
    parent = os.getpid()

    def tie() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, ending)
            # The parent may have died before the tie was made.
            if os.getppid() != parent:
                os._exit(1)

    return tie


def name_process(name: str) -> None:
    """Show `name`, at most 15 bytes of it, as this process' own in top and `ps -o comm` (Linux; see prctl(2))."""
    if _libc is not None:
        _libc.prctl(_PR_SET_NAME, name.encode())


class Running(Protocol):
    """What a supervisor does with a process: `subprocess.Popen` has it, and so has a forked one."""

    @property
    def pid(self) -> int: ...
    @property
    def stdout(self) -> IO[bytes] | None: ...
    def poll(self) -> int | None: ...
    def wait(self) -> int: ...
    def terminate(self) -> None: ...


def spawn(arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, merge_errors: bool = True) -> Running:
    """A new program in a session of its own; what it prints is read from `stdout`, its standard error too unless not merged."""
    return subprocess.Popen(
        arguments,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merge_errors else None,
        # Ctrl-C at the terminal reaches the supervisor alone, and ending the group ends all that the program started.
        start_new_session=True,
        preexec_fn=die_with_parent(),
    )


@dataclass
class Child:
    """One process with a process group of its own, which `begin()` starts.

    `say(name, line)` gets each line it prints, and what the supervisor has to tell about it.
    """

    name: str
    begin: Callable[[], Running]
    say: Callable[[str, str], None]
    process: Running | None = None
    start_at: float = 0.0
    _started: float = 0.0
    _pause: float = FIRST_PAUSE_SECONDS
    _unfinished: bytearray = field(default_factory=bytearray)
    _closed: bool = False

    @property
    def output(self) -> int | None:
        """The descriptor its lines come from, while it may print."""
        return self.process.stdout.fileno() if self.process and self.process.stdout and not self._closed else None

    def start(self) -> None:
        """Run it."""
        self.process = self.begin()
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self._started = time.monotonic()
        self._closed = False

    def listen(self) -> None:
        """Pass on the whole lines that it printed since."""
        if self.output is None:
            return
        with suppress(BlockingIOError):
            piece = os.read(self.output, _READ_BYTES)
            self._unfinished += piece
            self._closed = not piece
        *lines, rest = bytes(self._unfinished).split(b"\n")
        self._unfinished = bytearray(rest)
        for line in lines:
            self.say(self.name, line.decode(errors="replace").rstrip("\r"))

    def look_after(self, now: float) -> bool:
        """Notice its end, and start it when its time has come; True when it was started."""
        if self.process is None:
            if now < self.start_at:
                return False
            self.start()
            return True
        code = self.process.poll()
        if code is not None:
            self._put_away()
            if now - self._started > STEADY_SECONDS:
                self._pause = FIRST_PAUSE_SECONDS
            self.start_at = now + self._pause
            self.say(self.name, f"ended ({_reason(code)}); starting again in {self._pause:g} s")
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        return False

    def ask_to_end(self) -> None:
        """SIGTERM to the process itself, which looks after its own children."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def ended(self) -> bool:
        """Whether it is gone; puts away what it left behind."""
        if self.process is not None and self.process.poll() is not None:
            self._put_away()
        return self.process is None

    def kill(self) -> None:
        """SIGKILL to it and to all that it started."""
        if self.process is not None:
            self._kill_group()
            self.process.wait()
            self._put_away()

    def _put_away(self) -> None:
        # Workers of a killed server would keep its port, and its store, to themselves.
        self._kill_group()
        while self.output is not None and select.select([self.output], [], [], 0)[0]:
            self.listen()
        if self._unfinished:
            self.say(self.name, self._unfinished.decode(errors="replace"))
            self._unfinished.clear()
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None

    def _kill_group(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)


def _reason(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
