"""A process that reads one package for its parent and ends: one JSON line on stdin, one JSON line on stdout.

The request is `{"path": "/data/tmp/u1", "filename": "demo-1.0-0.conda", "limits": {...}}`, the answer one of `{"info": {...}}`,
`{"refused": {"code", "detail", "hint", "status"}}` and `{"failed": "PermissionError: ..."}`.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import msgspec

from condahub.errors import HubError
from condahub.packages.errors import PackageBomb
from condahub.packages.limits import MIB, Limits
from condahub.packages.reader import PackageInfo, read_package

MAX_ADDRESS_SPACE_BYTES = 1536 * MIB
CPU_SPARE_SECONDS = 5


class Request(msgspec.Struct):
    """One package to read."""

    path: str
    filename: str
    limits: Limits


class Refusal(msgspec.Struct):
    """A HubError on its way to the parent."""

    code: str
    detail: str
    hint: str
    status: int


class Answer(msgspec.Struct, omit_defaults=True):
    """Exactly one of the three is there."""

    info: PackageInfo | None = None
    refused: Refusal | None = None
    failed: str | None = None


def _answer(request: Request) -> Answer:
    try:
        return Answer(info=read_package(Path(request.path), filename=request.filename, limits=request.limits))
    except MemoryError:
        error: HubError = PackageBomb("Reading the package takes more memory than the hub allows.")
    except HubError as refusal:
        error = refusal
    except OSError as failure:
        return Answer(failed=f"{type(failure).__name__}: {failure.strerror}")
    return Answer(refused=Refusal(error.code, error.detail, error.hint, error.status))


def _confine(seconds: float) -> None:
    """Reading needs no more than this: no file is written, no core left, and memory and processor time are bounded."""
    cpu_seconds = int(seconds) + CPU_SPARE_SECONDS
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE_BYTES, MAX_ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def main() -> None:
    """Answer the one request on stdin."""
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=Request)
    _confine(request.limits.max_seconds)
    sys.stdout.buffer.write(msgspec.json.encode(_answer(request)) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
