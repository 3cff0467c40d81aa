"""Runs between a worker and its child: kills the whole session when the worker is gone, however it went.

Started as `python -I -S guardian.py <lifeline fd> <0|1: keep LC_CTYPE> <argv...>` in a session of its own; uses the standard library only.
The worker holds the other end of the lifeline pipe: it closes when the worker dies, by SIGKILL too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

EXIT_SECONDS = 5.0


def session_members(session: int) -> list[int]:
    """Process ids of that session that are not zombies, from /proc."""
    members = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    # The name, in parentheses, may hold anything; after it: state, ppid, pgrp, session (proc_pid_stat(5)).
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] not in (b"Z", b"X"):
                members.append(int(entry))
    return members


def kill_session(session: int, *, spare: int = 0) -> None:
    """SIGKILL every process of the session but `spare`, until none is left."""
    give_up = time.monotonic() + EXIT_SECONDS
    while time.monotonic() < give_up:
        members = [pid for pid in session_members(session) if pid != spare]
        if not members:
            return
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _watch(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    kill_session(os.getpid(), spare=os.getpid())
    os._exit(128 + signal.SIGKILL)


def main() -> int:
    lifeline = int(sys.argv[1])
    # Python itself may have set it (PEP 538); the child gets exactly what it was given.
    if sys.argv[2] == "0":
        os.environ.pop("LC_CTYPE", None)
    try:
        child = subprocess.Popen(sys.argv[3:])
    except OSError as error:
        sys.stderr.write(f"{sys.argv[3]}: {error.strerror}\n")
        sys.stderr.flush()
        return 127
    threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()
    # Only the child may hold these now: when it ends, the worker's reads end.
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    os._exit(main())
