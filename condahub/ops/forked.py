"""The hub's processes by fork from one that has imported the hub already: they start at once, and share what none of them changes."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import IO

from condahub.ops.children import die_with_parent, name_process

# All that the processes import before they serve. None of it starts a thread or opens a connection.
_MODULES = (
    "condahub.wsgi",
    "condahub.wsgi_data",
    "condahub.urls",
    "condahub.urls_data",
    "condahub.server.worker",
    "condahub.celery",
    "gunicorn.app.wsgiapp",
    "celery.bin.celery",
    "celery.apps.beat",
    "celery.apps.worker",
)


class Became(BaseException):
    """Raised in the forked process, so that it leaves what its parent was at before it calls `run` and ends as any program does."""

    def __init__(self, run: Callable[[], None]) -> None:
        super().__init__()
        self.run = run


class Forked:
    """A process that was forked, with the part of `subprocess.Popen` that a supervisor needs."""

    def __init__(self, pid: int, stdout: IO[bytes]) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """As Popen's."""
        if self.returncode is None:
            self._reap(os.WNOHANG)
        return self.returncode

    def wait(self) -> int:
        """As Popen's."""
        while self.returncode is None:
            self._reap(0)
        return self.returncode

    def terminate(self) -> None:
        """As Popen's."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def _reap(self, options: int) -> None:
        pid, status = os.waitpid(self.pid, options)
        if pid:
            self.returncode = os.waitstatus_to_exitcode(status)


def load() -> None:
    """Import the hub into this process, once, before the first fork.

    Raises:
        SystemExit: a setting cannot be served with; it says which.
    """
    for name in _MODULES:
        importlib.import_module(name)
    # What is here now is everybody's: no process' collector needs to look at it, and so to copy its pages.
    gc.collect()
    gc.freeze()


def fork(name: str, run: Callable[[], None], *, merge_errors: bool = True) -> Forked:
    """A process `name` in a session of its own that calls `run`; what it prints is read from `stdout`, its errors too where merged.

    Raises:
        Became: in the new process.
    """
    read, write = os.pipe()
    tie = die_with_parent()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(write)
        return Forked(pid, open(read, "rb", buffering=0))
    # A session of its own: Ctrl-C at the terminal reaches the supervisor alone, and ending it ends all that it started.
    os.setsid()
    tie()
    name_process(name)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for wanted, descriptor in ((0, nothing), (1, write), *(((2, write),) if merge_errors else ())):
        os.dup2(descriptor, wanted)
    for descriptor in (nothing, read, write):
        os.close(descriptor)
    # A person reads along, and the parent's may lead nowhere by now.
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    raise Became(run)
