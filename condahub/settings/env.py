"""Reads the environment: `CONDAHUB_*` variables, each secret also from the file that `<NAME>_FILE` names."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
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


def own_names() -> list[str]:
    """This machine's names and addresses, as a browser on the network writes them; what can't be found out is left out."""
    name = socket.gethostname()
    names = {name, socket.getfqdn(name)}
    with suppress(OSError):
        names.update(str(address[0]) for *_, address in socket.getaddrinfo(name, None))
    # Connecting a datagram socket sends nothing; it says by which address this machine goes out.
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            names.add(str(probe.getsockname()[0]))
    return sorted(f"[{one}]" if ":" in one else one.lower() for one in names if one)
