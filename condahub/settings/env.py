"""Reads the environment: `CONDAHUB_*` variables, each secret also from the file that `<NAME>_FILE` names."""

from __future__ import annotations

import os
from pathlib import Path

import environ

env = environ.FileAwareEnv()

BASE_DIR = Path(__file__).resolve().parent.parent.parent

# Everything the embedded hub writes lies below this folder.
DATA_DIR = Path(os.environ.get("CONDAHUB_DATA") or BASE_DIR / "data").resolve()


def embedded_secret(name: str) -> str:
    """A secret that the embedded hub makes once for itself and keeps in its data folder, readable by its owner only."""
    path = DATA_DIR / "secrets" / name
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    import secrets

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{name}.{os.getpid()}.{secrets.token_hex(4)}")
    draft.write_text(secrets.token_urlsafe(48))
    draft.chmod(0o600)
    try:
        # link() fails when another process was first: then that one's secret counts.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()
