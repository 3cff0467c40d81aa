"""Lists on the terminal for the server's commands, the same look as the remote ones have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from condahub.cli.session import Session


def show(rows: Sequence[dict[str, Any]], columns: Sequence[tuple[str, str]], *, as_json: bool, empty: str = "None.") -> None:
    """Print rows as a table of (heading, key), or as JSON."""
    Session(hub=None, token=None, as_json=as_json).table(rows, columns, empty=empty)
