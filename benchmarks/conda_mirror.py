"""conda-mirror in an environment of its own, to measure against."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

REQUIREMENT = "conda-mirror==0.10.0"
INSTALL_SECONDS = 600
RUN_SECONDS = 1800


class NoCondaMirror(Exception):
    """It could not be installed here; the text says what was tried."""


def installed() -> Path:
    """Its command, installed at the first call on this machine. Raises NoCondaMirror."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "condahub-benchmarks"
    folder = cache / f"conda-mirror-{hashlib.sha256((REQUIREMENT + sys.version).encode()).hexdigest()[:12]}"
    done = folder / "installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for words in ([sys.executable, "-m", "venv", "--clear", folder], [folder / "bin" / "pip", "install", "--quiet", REQUIREMENT]):
            tried = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=INSTALL_SECONDS)
            if tried.returncode:
                raise NoCondaMirror(f"`{' '.join(str(word) for word in words)}` failed: {tried.stderr.strip()[-300:]}")
        done.touch()
    return folder / "bin" / "conda-mirror"


def mirror(command: Path, url: str, folder: Path, *, subdir: str) -> None:
    """One run of it."""
    words = [command, "--upstream-channel", url.rstrip("/"), "--target-directory", folder, "--platform", subdir, "--no-progress"]
    folder.mkdir()
    subprocess.run([str(word) for word in words], check=True, timeout=RUN_SECONDS, capture_output=True)
