"""Runs a program that strangers wrote in a world of its own: no network, no other process, nothing of the hub, and an end to all of it.

Bubblewrap makes that world of the kernel's namespaces, as an ordinary user. Only named folders are in it, the writable ones
among them; the machine's own programs are there to be read. What the program started is killed when the program ends.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from condahub.engine.confine import READABLE, refusing
from condahub.errors import HubError

PROGRAM = "bwrap"
# Debian's programs are often links to it.
SYSTEM = (*READABLE, "/etc/alternatives")
HOME = "/home/builder"
TEMPORARY, SHARED_MEMORY = "/tmp", "/dev/shm"  # noqa: S108 - the program's own
USER_ID = "1000"
# Of memory, beside what the processes have.
TEMPORARY_BYTES, HOME_BYTES = 256 * 1024 * 1024, 64 * 1024 * 1024
MAX_FILES = 2_000_000
SHARED_MEMORY_BYTES = 64 * 1024 * 1024
PROBE_SECONDS = 20.0
POLL_SECONDS = 0.05
MEMORY_SAMPLE_SECONDS = 0.5
DISK_SAMPLE_SECONDS = 2.0
KILL_SECONDS = 10.0
MAX_OUTPUT_BYTES = 64 * 1024
INSTALL_HINT = "Install bubblewrap (Debian: apt-get install bubblewrap) where environments are built."
ALLOW_HINT = (
    "Where environments are built, processes must be allowed to make user namespaces: in a container by its seccomp profile and an "
    "unmasked /proc, on Ubuntu by AppArmor, elsewhere by user.max_user_namespaces."
)

_PEOPLE = f"root:x:0:0::/nonexistent:/bin/false\nbuilder:x:{USER_ID}:{USER_ID}::{HOME}:/bin/sh\n"
_GROUPS = f"root:x:0:\nbuilder:x:{USER_ID}:\n"
# Limits that are the kernel's own are set before anything else: they are inherited.
_LAUNCHER = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); size = int(sys.argv[1]); "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)); os.execv(sys.argv[2], sys.argv[2:])"
)


class SandboxFailed(HubError):
    """The program could not be run, or broke a limit."""

    code = "sandbox_failed"
    status = 422


@dataclass(frozen=True)
class World:
    """What a program finds. readable, writable: (folder or file of this machine, where it is found), in the order they are put
    there; hidden: folders of this machine that would lie in the system's own; folder: where it starts.
    """

    readable: Sequence[tuple[Path, str]] = ()
    writable: Sequence[tuple[Path, str]] = ()
    hidden: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"


@dataclass(frozen=True)
class Bounds:
    """disk_bytes: of all writable folders together, looked at now and then, and of any one file, always."""

    seconds: float
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class Ended:
    """status: exit status, 128 + signal when killed; output: the last of what it said, both streams."""

    status: int
    output: str


def problem() -> tuple[str, str]:
    """(a sentence, what to do) where nothing can be run in a sandbox on this machine; two empty ones where it can. It is tried."""
    if sys.platform != "linux":
        return "Sandboxes are Linux's.", "Build environments on Linux."
    program = shutil.which(PROGRAM)
    if program is None:
        return "Bubblewrap, which holds the programs of packages, is not installed.", INSTALL_HINT
    try:
        ended = run(["/bin/true"], World(), Bounds(PROBE_SECONDS, 2**30, 2**20))
    except (SandboxFailed, OSError) as error:
        return f"Bubblewrap does not work here: {error}", ALLOW_HINT
    if ended.status != 0:
        said = ended.output.strip().rpartition("\n")[2][:200] or f"exit status {ended.status}"
        return f"Bubblewrap does not work here: {said}", ALLOW_HINT
    return "", ""


def require() -> None:
    """Raises SandboxFailed `sandbox_missing` where `problem` has one."""
    sentence, hint = problem()
    if sentence:
        raise SandboxFailed(f"Code of packages can't be run in a sandbox here. {sentence}", code="sandbox_missing", hint=hint)


def run(command: Sequence[str], world: World, bounds: Bounds) -> Ended:
    """Run it to its end, which is the end of all that it started. Raises SandboxFailed at a limit: `timed_out`,
    `out_of_memory`, `environment_too_large`; then too nothing is left.

    To be called in a process's first thread: it ends with that.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise SandboxFailed("Bubblewrap is not installed.", code="sandbox_missing", hint=INSTALL_HINT)
    with contextlib.ExitStack() as open_files:
        filter_, people, groups = (open_files.enter_context(_held(data)) for data in (_refused_calls(), _PEOPLE.encode(), _GROUPS.encode()))
        told, telling = os.pipe()
        open_files.callback(os.close, told)
        argv = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(bounds.disk_bytes), program]
        argv += ["--json-status-fd", str(telling), "--seccomp", str(filter_)]
        argv += [*_arguments(world, people, groups), "--", *command]
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={"PATH": os.defpath},
                pass_fds=(telling, filter_, people, groups),
                cwd="/",
            )
        finally:
            os.close(telling)
        running = _Running(process, told)
        try:
            running.wait(bounds, [path for path, _ in world.writable])
        finally:
            running.end()
    status = process.returncode
    return Ended(status if status >= 0 else 128 - status, running.output)


def _arguments(world: World, people: int, groups: int) -> Iterator[str]:
    yield from ("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--clearenv")
    yield from ("--uid", USER_ID, "--gid", USER_ID, "--hostname", "builder")
    for name in SYSTEM:
        if os.path.islink(name):
            yield from ("--symlink", os.readlink(name), name)
        elif os.path.exists(name):
            yield from ("--ro-bind", name, name)
    yield from ("--ro-bind-data", str(people), "/etc/passwd", "--ro-bind-data", str(groups), "/etc/group")
    yield from ("--proc", "/proc", "--dev", "/dev")
    yield from ("--size", str(SHARED_MEMORY_BYTES), "--tmpfs", SHARED_MEMORY, "--remount-ro", "/dev")
    yield from ("--size", str(TEMPORARY_BYTES), "--tmpfs", TEMPORARY, "--size", str(HOME_BYTES), "--tmpfs", HOME)
    for name in world.hidden:
        if any(Path(name).is_relative_to(system) for system in SYSTEM):
            yield from ("--tmpfs", name)
    for path, inside in world.writable:
        yield from ("--bind", str(path), inside)
    for path, inside in world.readable:
        yield from ("--ro-bind", str(path), inside)
    yield from ("--remount-ro", "/")
    for name, value in {"HOME": HOME, "TMPDIR": TEMPORARY, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **world.environment}.items():
        yield from ("--setenv", name, value)
    yield from ("--chdir", world.folder)


@contextlib.contextmanager
def _held(data: bytes) -> Iterator[int]:
    """A descriptor from which these bytes are read."""
    descriptor = os.memfd_create("condahub")
    try:
        os.write(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


@functools.cache
def _refused_calls() -> bytes:
    """What reaches into the kernel and no installer needs; sockets stay: there is nobody to be reached."""
    return refusing(sockets=False, sessions=False, attributes=False)


class _Running:
    """The program while it runs. told: where bubblewrap says which process holds the world together."""

    def __init__(self, process: subprocess.Popen[bytes], told: int) -> None:
        self.process = process
        self._told = told
        self._said = b""
        self._holder: int | None = None
        self._output = bytearray()
        assert process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(ValueError, OSError):
            while piece := os.read(pipe.fileno(), 16 * 1024):
                self._output += piece
                del self._output[:-MAX_OUTPUT_BYTES]

    @property
    def output(self) -> str:
        return bytes(self._output).decode(errors="replace")

    def wait(self, bounds: Bounds, writable: Sequence[Path]) -> None:
        started = time.monotonic()
        next_memory, next_disk = started, started + DISK_SAMPLE_SECONDS
        while True:
            self._find_holder()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(POLL_SECONDS)
                return
            now = time.monotonic()
            if now > started + bounds.seconds:
                raise SandboxFailed(f"It took longer than {bounds.seconds:,.0f} seconds.", code="timed_out", hint=self.output[-2000:])
            if now >= next_memory:
                next_memory = now + MEMORY_SAMPLE_SECONDS
                if _memory_bytes(self.process.pid) > bounds.memory_bytes:
                    raise SandboxFailed(f"It needed more than {bounds.memory_bytes / 2**20:.0f} MiB of memory.", code="out_of_memory")
            if now >= next_disk:
                next_disk = now + DISK_SAMPLE_SECONDS
                taken_bytes, files = _taken(writable)
                if taken_bytes > bounds.disk_bytes or files > MAX_FILES:
                    raise SandboxFailed(
                        f"It wrote more than {bounds.disk_bytes:,} bytes, or {MAX_FILES:,} files.", code="environment_too_large"
                    )

    def _find_holder(self) -> None:
        """Hold on to the first process of the namespace: the kernel lets it go when all others are gone."""
        if self._holder is not None:
            return
        while select.select([self._told], [], [], 0)[0]:
            piece = os.read(self._told, 4096)
            if not piece:
                return
            self._said += piece
            for line in self._said.splitlines():
                with contextlib.suppress(ValueError, OSError):
                    self._holder = self._holder or os.pidfd_open(int(json.loads(line).get("child-pid", "")))

    def end(self) -> None:
        """Kill what is left of it, and wait until there is nothing."""
        self._find_holder()
        self.process.kill()
        self.process.wait()
        if self._holder is not None:
            # It dies with bubblewrap; what it holds, before it.
            gone, _, _ = select.select([self._holder], [], [], KILL_SECONDS)
            os.close(self._holder)
            if not gone:
                raise SandboxFailed("A program in the sandbox can't be ended.", status=500)
        self._reader.join(timeout=KILL_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()


def _memory_bytes(first: int) -> int:
    """Of a process and all that descend of it: in a namespace of their own they can't leave that tree."""
    return sum(_resident_bytes(pid) for pid in _descendants(first))


def _descendants(first: int) -> Iterable[int]:
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                # After the name in parentheses: state, ppid (proc_pid_stat(5)).
                parent = int(Path(f"/proc/{entry}/stat").read_bytes().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry))
    waiting = [first]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children.get(pid, ())


def _resident_bytes(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _taken(folders: Iterable[Path]) -> tuple[int, int]:
    """(bytes, files) of what is there, while it comes and goes. Raises SandboxFailed for what would not be counted."""
    total = files = 0
    waiting = [os.fspath(folder) for folder in folders]
    while waiting:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            try:
                with os.scandir(waiting.pop()) as entries:
                    for entry in entries:
                        files += 1
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                        else:
                            total += _size(entry)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.ENAMETOOLONG):
                    raise
                raise SandboxFailed("It made folders that can't be looked into.") from None
    return total, files


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
