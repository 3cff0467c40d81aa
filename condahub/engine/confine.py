"""Holds a program that strangers wrote: named folders only, no network, no other process; by the kernel, without privileges.

Landlock (Linux 5.13 and later) bounds the files, a seccomp filter the system calls, and root loses its capabilities. This
file is also the launcher, `python -I -S confine.py <rules> <argv...>`, and uses the standard library only.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

READABLE = ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime")
MAX_FILE_BYTES = 256 * 1024 * 1024
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")

# linux/landlock.h; the numbers are the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEVICE = 1 << 14, 1 << 15
_ALL_OF_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_NEWEST_FILE_VERSION = 5
_FILE_ACCESS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_READING = _EXECUTE | _READ_FILE | _READ_DIR
_NETWORK_VERSION, _SCOPE_VERSION = 4, 6
_NETWORK, _SCOPES = 0b11, 0b11

# linux/prctl.h, linux/seccomp.h, linux/audit.h
_SET_NO_NEW_PRIVS, _CAPBSET_DROP, _SET_SECCOMP, _SECCOMP_FILTER = 38, 24, 22, 2
_LAST_CAPABILITY = 63
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 13  # EACCES
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_Calls = dict[str, tuple[int, ...]]
# What reaches out of the process, by the machine's numbers. sockets; the kernel itself: io_uring, tracing, keys, namespaces,
# mounts, kernel modules and programs; sessions of its own (a supervisor ends the session); and what Landlock does not bound:
# modes, owners, times, extended attributes of files it may read, which other environments may share.
_SOCKETS: _Calls = {"x86_64": (41, 53), "aarch64": (198, 199)}
_KERNEL: _Calls = {
    "x86_64": (425, 101, 310, 311, 248, 249, 250, 272, 308, 165, 321, 298, 175, 313, 246, 323, 304),
    "aarch64": (425, 117, 270, 271, 217, 218, 219, 97, 268, 40, 280, 241, 105, 273, 104, 282, 265),
}
_SESSIONS: _Calls = {"x86_64": (109, 112), "aarch64": (154, 157)}
_ATTRIBUTES: _Calls = {
    "x86_64": (90, 91, 268, 452, 92, 93, 94, 260, 132, 235, 261, 280, 188, 189, 190, 197, 198, 199),
    "aarch64": (52, 53, 452, 54, 55, 88, 5, 6, 7, 14, 15, 16),
}
# Where Landlock does not bound signals yet: kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal.
_SIGNALS: _Calls = {"x86_64": (62, 200, 234, 129, 297, 424), "aarch64": (129, 130, 131, 138, 240, 424)}
_X32_BIT = 0x40000000


@dataclass(frozen=True)
class Confinement:
    """A way to hold programs. name: what holds them."""

    name: str
    launcher: tuple[str, ...]

    def argv(self, command: Sequence[str]) -> list[str]:
        """The command line that runs the command held."""
        return [*self.launcher, *command]


def confinement(*, readable: Iterable[Path], writable: Iterable[Path]) -> Confinement | None:
    """Hold programs to reading and running what lies in `readable` and the system's own folders, and writing to `writable`.

    None where this machine's kernel can't.
    """
    if sys.platform != "linux" or platform.machine() not in _ARCHITECTURES or _landlock_version() < 1:
        return None
    rules = json.dumps({"readable": [str(path) for path in readable], "writable": [str(path) for path in writable]})
    return Confinement("landlock", (sys.executable, "-I", "-S", str(Path(__file__).resolve()), rules))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _landlock_version() -> int:
    return int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _GET_VERSION))


def _checked(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def _restrict_files(readable: Sequence[str], writable: Sequence[str]) -> None:
    libc, version = _libc(), _landlock_version()
    everything = _ALL_OF_VERSION[min(version, _NEWEST_FILE_VERSION)]
    parts = [everything]
    if version >= _NETWORK_VERSION:
        parts.append(_NETWORK)
    if version >= _SCOPE_VERSION:
        parts.append(_SCOPES)
    attributes = struct.pack(f"={len(parts)}Q", *parts)
    ruleset = _checked(libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0), "landlock")
    for path in (*READABLE, *readable):
        _allow(ruleset, path, _READING)
    for path in DEVICES:
        _allow(ruleset, path, _READ_FILE | _WRITE_FILE)
    for path in writable:
        _allow(ruleset, path, everything & ~_IOCTL_DEVICE)
    _checked(libc.syscall(_RESTRICT_SELF, ruleset, 0), "landlock")
    os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        wanted = access if os.path.isdir(path) else access & _FILE_ACCESS
        rule = struct.pack("=Qi", wanted & _ALL_OF_VERSION[min(_landlock_version(), _NEWEST_FILE_VERSION)], descriptor)
        _checked(_libc().syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0), path)
    finally:
        os.close(descriptor)


def refusing(*, sockets: bool = True, sessions: bool = True, attributes: bool = True, signals: bool = False) -> bytes:
    """The seccomp program that refuses the system calls of these kinds, and always those into the kernel itself."""
    machine = platform.machine()
    groups = [_KERNEL]
    groups += [
        kind for kind, wanted in ((_SOCKETS, sockets), (_SESSIONS, sessions), (_ATTRIBUTES, attributes), (_SIGNALS, signals)) if wanted
    ]
    load, equal, greater, answer = 0x20, 0x15, 0x35, 0x06
    program = [(load, 0, 0, 4), (equal, 1, 0, _ARCHITECTURES[machine]), (answer, 0, 0, _REFUSE), (load, 0, 0, 0)]
    program += [(greater, 0, 1, _X32_BIT), (answer, 0, 0, _REFUSE)]
    for number in (number for kind in groups for number in kind[machine]):
        program += [(equal, 0, 1, number), (answer, 0, 0, _REFUSE)]
    program.append((answer, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in program)


def _restrict_calls(*, signals: bool) -> None:
    program = refusing(signals=signals)
    code = ctypes.create_string_buffer(program)
    # struct sock_fprog: the count, then, aligned, where the program lies.
    filter_ = struct.pack("@HP", len(program) // struct.calcsize("=HBBI"), ctypes.addressof(code))
    _checked(_libc().prctl(_SET_SECCOMP, _SECCOMP_FILTER, filter_, 0, 0), "seccomp")


def _drop_privileges() -> None:
    libc = _libc()
    if os.geteuid() == 0:
        for capability in range(_LAST_CAPABILITY + 1):
            libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)
    _checked(libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))


def main() -> None:
    """Restrict this process by the first argument's rules, then become the command."""
    rules = json.loads(sys.argv[1])
    signals = _landlock_version() < _SCOPE_VERSION
    _drop_privileges()
    _restrict_files(rules["readable"], rules["writable"])
    _restrict_calls(signals=signals)
    os.execve(sys.argv[2], sys.argv[2:], os.environ)


if __name__ == "__main__":
    main()
