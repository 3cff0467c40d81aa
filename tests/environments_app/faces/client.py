"""conda-store's own command, as it is published: installed once, and run against a hub."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import parts
from tests.hub import RunningHub

CLIENT = "conda-store==2025.2.2"
INSTALL_SECONDS = 240
RUN_SECONDS = 90


def install(folder: Path) -> str:
    """The command in an environment of its own, as what it needs is not what we need; skips where it can't be had."""
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, timeout=INSTALL_SECONDS)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", CLIENT]
        subprocess.run(pip, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    except (subprocess.SubprocessError, OSError):
        reason = f"{parts.SKIP_PREFIX}conda-store (pip could not install {CLIENT})"
        if parts.all_required():
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return str(folder / "bin" / "conda-store")


def call(
    command: str, hub: RunningHub, *arguments: str, token: str = "", folder: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CONDA_STORE")},
        "CONDA_STORE_URL": f"{hub.url}/conda-store",
        "CONDA_STORE_AUTH": "token" if token else "none",
        "CONDA_STORE_TOKEN": token,
        "COLUMNS": "200",
        **more,
    }
    argv = [command, *arguments]
    return subprocess.run(argv, env=environment, cwd=folder, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)


def run(command: str, hub: RunningHub, *arguments: str, token: str = "", folder: Path | None = None, **more: str) -> str:
    """What it prints; it must succeed."""
    done = call(command, hub, *arguments, token=token, folder=folder, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
