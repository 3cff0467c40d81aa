"""Runs between a worker and its child: kills the whole process group when the worker is gone, however it went.

Started as `python -I -S guardian.py <lifeline fd> <0|1: keep LC_CTYPE> <argv...>` in a session of its own; uses the standard library only.
The worker holds the other end of the lifeline pipe: it closes when the worker dies, by SIGKILL too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def _watch(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os.killpg(0, signal.SIGKILL)


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
