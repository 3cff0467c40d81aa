"""How much memory processes hold, read out of /proc, and a thread that watches it."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType

SAMPLE_SECONDS = 0.02


def peak_bytes(pid: int | str = "self") -> int:
    """The most that a process ever had resident."""
    return _status_bytes(pid, "VmHWM")


def resident_bytes(pid: int | str) -> int:
    return _status_bytes(pid, "VmRSS")


def _status_bytes(pid: int | str, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def children_of(pid: int) -> list[int]:
    """The processes that this one started and that still run."""
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def group_of(pid: int) -> list[int]:
    """This process and all below it."""
    return [pid, *(one for child in children_of(pid) for one in group_of(child))]


class MemoryWatch:
    """Samples the resident memory of processes for the length of a block. `grown`: the most by which each was above its beginning."""

    def __init__(self, pids: list[int]) -> None:
        self._begin = {pid: resident_bytes(pid) for pid in pids}
        self.grown = dict.fromkeys(pids, 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            for pid, begin in self._begin.items():
                try:
                    self.grown[pid] = max(self.grown[pid], resident_bytes(pid) - begin)
                except OSError:
                    continue


def page_cache_is_warm(path: Path) -> None:
    """Read a file once, so that whoever is measured next finds it in memory."""
    with path.open("rb") as file:
        while file.read(4 * 1024 * 1024):
            pass
    assert os.path.getsize(path)
