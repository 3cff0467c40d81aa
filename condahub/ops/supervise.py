"""The whole hub in one terminal: prepares the data folder, runs every process of it, ends them together. What `make run` starts."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

from condahub.ops import forked
from condahub.ops.children import Child, Running, spawn
from condahub.ops.probe import answers
from condahub.ops.roles import HOME, MIGRATE, command, serving

# Web and workers get this long to finish what they are at; the rest of ten seconds is for the kernel.
GRACE_SECONDS = 7.0
# How often a hub that is starting is asked whether it answers.
_ASK_SECONDS = 0.2
_LOOK_SECONDS = 1.0
_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
# Elsewhere a process that holds the system's own libraries must not be forked.
_FORKS = sys.platform == "linux"
_COLOURS = ("36", "35", "33", "32", "34", "31")


class CannotStart(Exception):
    """A sentence for the person at the terminal, who can mend it."""


class Terminal:
    """What the person sees: a line a process prints, with that process's name before it."""

    def __init__(self, names: Iterable[str]) -> None:
        names = list(names)
        self._width = max(len(name) for name in names)
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._colours = dict(zip(names, _COLOURS, strict=False)) if coloured else {}

    def say(self, name: str, line: str) -> None:
        """Print `line` as coming from the process `name`."""
        colour = self._colours.get(name)
        label = f"{name:<{self._width}} |"
        self.write(f"\033[{colour}m{label}\033[0m {line}" if colour else f"{label} {line}")

    def write(self, text: str) -> None:
        """Print `text`; a terminal that is gone must not end the hub."""
        try:
            print(text, flush=True)
        except OSError:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115


class Supervisor:
    """Runs the children until it is asked to stop."""

    def __init__(self, children: list[Child], *, status: Path) -> None:
        self.children = children
        self._status = status
        self._asked = 0
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ending, self._stop)
        # Only to be woken by it: the children are polled.
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _stop(self, *_: object) -> None:
        self._asked += 1

    def is_stopping(self) -> bool:
        """Whether the person, or the system, asked for the end."""
        return self._asked > 0

    def step(self, seconds: float) -> None:
        """Look after the children once, waiting at most `seconds` for something to happen."""
        started = [child.look_after(time.monotonic()) for child in self.children]
        if any(started):
            self._write_status()
        self._wait(seconds)

    def end(self) -> None:
        """End all children: asked first, killed after a grace period or at a second request."""
        for child in self.children:
            child.ask_to_end()
        deadline = time.monotonic() + GRACE_SECONDS
        while any(not child.ended() for child in self.children):
            if time.monotonic() > deadline or self._asked > 1:
                for child in self.children:
                    child.kill()
                break
            self._wait(0.1)
        self._status.unlink(missing_ok=True)

    def read(self, pipe: IO[bytes]) -> bytes:
        """What comes out of `pipe` next; nothing at its end, or once the end is asked for."""
        while not self.is_stopping():
            if pipe.fileno() in select.select([self._wake_read, pipe.fileno()], [], [])[0]:
                return os.read(pipe.fileno(), 65536)
            os.read(self._wake_read, 1024)
        return b""

    def _wait(self, seconds: float) -> None:
        outputs = {child.output: child for child in self.children if child.output is not None}
        ready, _, _ = select.select([self._wake_read, *outputs], [], [], seconds)
        for descriptor in ready:
            if descriptor in outputs:
                outputs[descriptor].listen()
            else:
                os.read(self._wake_read, 1024)

    def _write_status(self) -> None:
        """`{"supervisor": pid, "web": pid, ...}`, for the doctor and for who wants to look at one process."""
        pids = {child.name: child.process.pid for child in self.children if child.process}
        draft = self._status.with_suffix(".draft")
        draft.write_text(json.dumps({"supervisor": os.getpid(), **pids}))
        draft.replace(self._status)


def main() -> None:
    """Run the embedded hub until Ctrl-C or SIGTERM."""
    try:
        environment = _environment()
        data = _data_folder(environment)
        # Held for the life of this process: its descriptor is the lock.
        lock = _hold(data)
        _check_free(*_web_address(environment), "PORT")
        _check_free(environment["CONDAHUB_DATA_HOST"], int(environment["CONDAHUB_DATA_PORT"]), "CONDAHUB_DATA_PORT")
    except CannotStart as refusal:
        sys.exit(f"condahub: {refusal}")
    try:
        with lock:
            sys.exit(_run(environment, data))
    except forked.Became as became:
        run = became.run
    # This is one of the hub's processes now, and nothing of the supervisor is left in it.
    run()


def _run(environment: Mapping[str, str], data: Path) -> int:
    os.environ.update(environment)
    os.chdir(HOME)
    roles = serving(environment)
    terminal = Terminal((*roles, MIGRATE))
    children = [Child(role, partial(_begin, role, environment), terminal.say) for role in roles]
    supervisor = Supervisor(children, status=data / "processes.json")
    terminal.write(f"condahub: preparing {data} ...")
    if _FORKS:
        forked.load()
    prepared = _prepare(environment, supervisor)
    if supervisor.is_stopping():
        return 0
    if prepared is None:
        terminal.write("condahub: that did not work; the lines above say why. Nothing was started.")
        return 1
    try:
        greeted = False
        while not supervisor.is_stopping():
            supervisor.step(_LOOK_SECONDS if greeted else _ASK_SECONDS)
            if not greeted and answers(*_web_address(environment), seconds=1):
                greeted = True
                terminal.write(_greeting(environment, data, prepared))
        terminal.write("condahub: stopping ...")
    except Exception:
        supervisor.end()
        raise
    supervisor.end()
    terminal.write(f"condahub: stopped; everything is kept in {data}")
    return 0


def _begin(role: str, environment: Mapping[str, str], *options: str, merge_errors: bool = True) -> Running:
    arguments = [*command(role, environment), *options]
    if not _FORKS:
        return spawn(arguments, environment=environment, folder=HOME, merge_errors=merge_errors)
    return forked.fork(f"condahub-{role}", partial(_become, arguments), merge_errors=merge_errors)


def _become(arguments: list[str]) -> None:
    """What `python -m <module> ...` does."""
    _, _, module, *rest = arguments
    sys.argv = [module, *rest]
    # Some of these modules are imported already: that is the point.
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="runpy")
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _environment() -> dict[str, str]:
    """What the children get: the person's environment, made complete."""
    environment = dict(os.environ)
    for variable, default in (("PORT", "8000"), ("CONDAHUB_DATA_PORT", str(any_free_port()))):
        port = environment.setdefault(variable, default)
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise CannotStart(f"{variable} must be a number from 1 to 65535, not {port!r}.")
    for variable in ("CONDAHUB_HOST", "CONDAHUB_DATA_HOST"):
        environment.setdefault(variable, "127.0.0.1")
    # A person wants to find the address among the lines; everything else can be asked for.
    environment.setdefault("CONDAHUB_LOG_LEVEL", "WARNING")
    environment.setdefault("CONDAHUB_ACCESS_LOG", "0")
    # Ctrl-C is waited for by a person.
    environment.setdefault("CONDAHUB_GRACEFUL_SECONDS", str(int(GRACE_SECONDS) - 2))
    environment.setdefault("DJANGO_SETTINGS_MODULE", "condahub.settings")
    environment.setdefault("PYTHONUNBUFFERED", "1")
    # Celery's reason to warn root is pickled messages; the hub's are JSON and say no more than "look".
    environment.setdefault("PYTHONWARNINGS", "ignore:You're running the worker with superuser privileges")
    return environment


def any_free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _data_folder(environment: dict[str, str]) -> Path:
    """The folder that everything is kept in, by its full name for the children, whichever folder they run in."""
    data = Path(environment.get("CONDAHUB_DATA") or HOME / "data").resolve()
    environment["CONDAHUB_DATA"] = str(data)
    return data


def _hold(data: Path) -> IO[str]:
    """The data folder's lock: two hubs on one SQLite file, store and queue would undo each other's work."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "supervisor.lock").open("a+")
    except OSError as error:
        raise CannotStart(f"the data folder {data} cannot be written ({error.strerror}). Name another one in CONDAHUB_DATA.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise CannotStart(
            f"another hub (process {holder}) runs on the data folder {data}. Stop it, or name another folder in CONDAHUB_DATA."
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _web_address(environment: Mapping[str, str]) -> tuple[str, int]:
    return environment["CONDAHUB_HOST"], int(environment["PORT"])


def _check_free(host: str, port: int, variable: str) -> None:
    """Refuse now, in a sentence, what a server would refuse later, in a traceback and again and again."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise CannotStart(f"CONDAHUB_HOST={host} is not an address of this machine ({error.strerror}).") from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise CannotStart(f"{host} is not an address of this machine. CONDAHUB_HOST is 127.0.0.1 unless you say otherwise.") from error
        raise CannotStart(
            f"cannot listen on {host}:{port} ({error.strerror}). Choose another port, for example: {variable}={port + 10} make run"
        ) from error


def _prepare(environment: Mapping[str, str], supervisor: Supervisor) -> dict[str, Any] | None:
    """Run the first start's steps in a process of their own; its findings, or None when it failed (it has said why)."""
    process = _begin(MIGRATE, environment, "--json", merge_errors=False)
    assert process.stdout is not None
    output = b""
    while piece := supervisor.read(process.stdout):
        output += piece
    if supervisor.is_stopping():
        process.terminate()
    if process.wait():
        return None
    findings: dict[str, Any] = json.loads(output)
    return findings


def _greeting(environment: Mapping[str, str], data: Path, prepared: Mapping[str, Any]) -> str:
    """The address and how to get in."""
    password = prepared["generated_password"]
    rows = [
        ("Address", f"{prepared['url']}/"),
        ("Sign in as", prepared["administrator"]),
        ("Password", f"{password}   (shown this once)" if password else "as it was set"),
    ]
    if environment.get("CONDAHUB_ADMIN_TOKEN") or environment.get("CONDAHUB_ADMIN_TOKEN_FILE"):
        rows.append(("Token", "the one given in CONDAHUB_ADMIN_TOKEN"))
    rows += [("Data", str(data)), *prepared["hints"]]
    if environment["CONDAHUB_HOST"] in _EVERY_ADDRESS and not environment.get("CONDAHUB_PUBLIC_URL"):
        rows.append(("Network", "open to other machines; set CONDAHUB_PUBLIC_URL to the address they use, so that links are right"))
    lines = [f"  {name:<12} {value}" for name, value in rows]
    return "\n".join(["", "condahub is ready.", "", *lines, "", "Ctrl-C ends it.", ""])


if __name__ == "__main__":
    main()
