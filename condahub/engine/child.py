"""The disposable process that solves, installs, compiles and packs: requests on stdin, one a line, events on stdout.

Started as `python -m condahub.engine.child [verb...]`; what the verbs need is imported before the first request is there.
It ends at the end of its input; what it has to say is said before, for a process that used py-rattler may crash while it exits.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from condahub.engine.disk import is_disk_full
from condahub.engine.protocol import (
    Archive,
    Compile,
    Event,
    Failure,
    Install,
    LayOver,
    LinkWheels,
    Progress,
    Request,
    RunScripts,
    Solve,
    WouldItSolve,
)
from condahub.errors import HubError

PARENT_POLL_SECONDS = 1.0
MAX_HINT_CHARS = 2000

_output = threading.Lock()


def emit(event: Event) -> None:
    """Write the event as one line, whole, at once."""
    line = msgspec.json.encode(event) + b"\n"
    with _output:
        while line:
            line = line[os.write(1, line) :]


def _say(progress: Progress) -> None:
    emit(Event(progress=progress))


# Imported when they are asked for: packing needs no solver.
_VERBS: dict[type[Any], tuple[str, str]] = {
    Solve: ("condahub.engine.solve", "solve"),
    WouldItSolve: ("condahub.engine.solve", "would_it_solve"),
    Install: ("condahub.engine.install", "install"),
    Compile: ("condahub.engine.bytecode", "compile_prefix"),
    Archive: ("condahub.engine.archive", "archive"),
    LinkWheels: ("condahub.engine.wheels", "link_wheels"),
    RunScripts: ("condahub.engine.link_scripts", "run_scripts"),
    LayOver: ("condahub.engine.link_scripts", "lay_over"),
}


def answer(line: bytes) -> None:
    """Do what one request asks and say how it ended."""
    request: Request | None = None
    try:
        request = msgspec.json.decode(line, type=Request)
        module, name = _VERBS[type(request)]
        verb: Callable[[Request, Callable[[Progress], None]], msgspec.Struct] = getattr(importlib.import_module(module), name)
        emit(Event(result=msgspec.to_builtins(verb(request, _say))))
    except HubError as error:
        conflict = getattr(error, "conflict", None)
        if conflict is not None:
            emit(Event(conflict=conflict))
        emit(Event(error=Failure(error.code, error.detail, error.hint, error.status)))
    except msgspec.DecodeError as error:
        emit(Event(error=Failure("invalid_request", f"The request can't be read: {error}", status=500)))
    except MemoryError:
        emit(Event(error=Failure("out_of_memory", "The work needed more memory than there is.")))
    except BaseException as error:  # noqa: BLE001 - a panic of the library is one; a parent that heard nothing could only guess
        hint = _hidden(f"{type(error).__name__}: {error}", request)[:MAX_HINT_CHARS]
        emit(Event(error=_disk_full() if is_disk_full(error) else Failure("engine_failed", "The engine failed.", hint, 500)))


def _disk_full() -> Failure:
    return Failure("storage_full", "There is no room left for the environment's files.", "The operator must free space.", 507)


def _hidden(text: str, request: Request | None) -> str:
    token = getattr(request, "token", "")
    return text.replace(token, "***") if token else text


def _end_with_the_parent() -> None:
    """A parent that was killed can't end its child: nobody would wait for this work any more."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL) if hasattr(signal, "SIGKILL") else os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main() -> None:
    """Answer every request of stdin."""
    _end_with_the_parent()
    for module in {module for module, name in _VERBS.values() if name in sys.argv[1:]}:
        importlib.import_module(module)
    try:
        for line in sys.stdin.buffer:
            if line.strip():
                answer(line)
        sys.stderr.flush()
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
