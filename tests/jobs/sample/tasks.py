"""Job kinds for the tests of the jobs app."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from condahub.errors import Conflict, Unavailable
from condahub.jobs.context import JobContext
from condahub.jobs.registry import job_kind


@job_kind("sample.note", lane="quick")
def note(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Append a line to a file (one write: atomic), so that every run counts, and say when it ran."""
    started = time.time()
    if "file" in payload:
        with open(payload["file"], "ab", buffering=0) as file:
            file.write(f"{payload['text']}\n".encode())
    return {"started": started, "pid": os.getpid()}


@job_kind("sample.conflict", lane="quick")
def conflict(context: JobContext, payload: Mapping[str, Any]) -> None:
    raise Conflict("The channel is being renamed.", code="renaming", hint="Try again later.")


@job_kind("sample.unavailable", lane="quick")
def unavailable(context: JobContext, payload: Mapping[str, Any]) -> None:
    raise Unavailable("The store does not answer.")


@job_kind("sample.broken", lane="quick")
def broken(context: JobContext, payload: Mapping[str, Any]) -> None:
    raise RuntimeError("secret-of-the-house")


@job_kind("sample.hold", lane="quick", lease_seconds=2)
def hold(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Run until cancelled or until the file `release` appears; says its pid in the progress message."""
    context.progress(phase="holding", message=str(os.getpid()))
    while not Path(payload["release"]).exists():
        context.check_cancelled()
        time.sleep(0.02)
    return {"pid": os.getpid()}


@job_kind("sample.deaf", lane="quick", lease_seconds=2)
def deaf(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Like hold, but never asks whether it should end."""
    context.progress(phase="holding", message=str(os.getpid()))
    while not Path(payload["release"]).exists():
        time.sleep(0.02)
    return {"pid": os.getpid()}


@job_kind("sample.child", lane="heavy", lease_seconds=2)
def child(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Run Python code in a supervised child."""
    return context.run_child([sys.executable, "-c", payload["code"]], stdin=payload.get("stdin"), env={"PATH": os.environ["PATH"]})
