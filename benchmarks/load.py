"""Load from wrk, which costs a fraction of what it measures, and a reader of large files that throws their bytes away unread."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

CONNECTIONS = 16
MIB = 1024 * 1024


class NoWrk(Exception):
    """wrk is not installed."""


def wrk(url: str, seconds: float, headers: Mapping[str, str] | None = None, script: Path | None = None) -> float:
    """Answers a second over CONNECTIONS kept connections. Raises RuntimeError when one was not a 2xx or a connection broke."""
    if shutil.which("wrk") is None:
        raise NoWrk("wrk is missing: `make test-system` or `apt-get install wrk`")
    words = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{max(round(seconds), 1)}s"]
    words += [word for name, value in (headers or {}).items() for word in ("--header", f"{name}: {value}")]
    words += ["--script", str(script)] if script else []
    said = subprocess.run([*words, url], capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"wrk {url}: {said}")
    found = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    assert found is not None, said
    return float(found[1])


@dataclass(frozen=True)
class Rates:
    """What peers did in some rounds in which all took their turn: a noisy minute is shared, and a ratio is made of one round."""

    of: Mapping[str, Sequence[float]]

    def __getitem__(self, name: str) -> float:
        return median(self.of[name])

    def ratio(self, name: str, ceiling: str) -> float:
        """The median of the rounds' ratios."""
        return median(one / other for one, other in zip(self.of[name], self.of[ceiling], strict=True))


def in_turn(measurements: Mapping[str, Callable[[], float]], rounds: int) -> Rates:
    """Measure all of them in each round."""
    found: dict[str, list[float]] = {name: [] for name in measurements}
    for _ in range(rounds):
        for name, measure in measurements.items():
            found[name].append(measure())
    return Rates(found)


def mib_a_second(url: str, times: int = 1) -> float:
    """How fast a large file comes; the kernel drops the bytes (MSG_TRUNC), so that the reader is no limit."""
    parts = urlsplit(url)
    total = 0
    begun = time.perf_counter()
    for _ in range(times):
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=60) as connection:
            connection.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
            total += _receive(connection)
    return total / MIB / (time.perf_counter() - begun)


def _receive(connection: socket.socket) -> int:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(1)
        if not piece:
            raise RuntimeError("the answer ended in its head")
        head += piece
    status = head.split(b" ", 2)[1]
    length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
    if status != b"200" or length is None:
        raise RuntimeError(f"not a whole file: {head[:200]!r}")
    left = int(length[1])
    scrap = bytearray(MIB)
    while left:
        got = connection.recv_into(scrap, min(left, MIB), socket.MSG_TRUNC)
        if not got:
            raise RuntimeError(f"the file ended {left} bytes short")
        left -= got
    return int(length[1])


def cycle_script(folder: Path, paths: Sequence[str], keys: Sequence[str], *, first: int) -> Path:
    """A wrk script that asks for these paths with these values of X-API-Key in turn, beginning at number `first` of each."""
    script = folder / f"cycle-{first}.lua"
    for name, values in (("paths", paths), ("keys", keys)):
        (folder / name).write_text("\n".join(values))
    script.write_text(
        f"""
local function lines(name)
  local found = {{}}
  for line in io.lines(name) do found[#found + 1] = line end
  return found
end
local paths, keys, at = lines("{folder}/paths"), lines("{folder}/keys"), {first}
function request()
  at = at + 1
  return wrk.format("GET", paths[at % #paths + 1], {{ ["X-API-Key"] = keys[at % #keys + 1] }})
end
"""
    )
    return script
