"""Notices at once what changes in watched folders, and asks for a scan; without it the scan comes by itself within a minute."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand
from django.db import Error as DatabaseError
from django.db import close_old_connections
from watchfiles import watch

from environments_app.services import watching

logger = logging.getLogger(__name__)

# How long changes are gathered, and how often folders that come and go are looked for.
GATHER_MS = 500
LOOK_AGAIN_MS = 30_000


class Command(BaseCommand):
    help = "Watch the files and folders of CONDAHUB_WATCH."

    def handle(self, *args: Any, **options: Any) -> None:
        """Ends when it is asked to."""
        roots = [one.root for one in watching.watches()]
        while roots:
            there = sorted({root if root.exists() else root.parent for root in roots if root.exists() or root.parent.exists()})
            if not there:
                logger.error("CONDAHUB_WATCH: none of the folders is there.")
                return
            for changes in watch(*there, step=100, debounce=GATHER_MS, rust_timeout=LOOK_AGAIN_MS, yield_on_timeout=True):
                if changes:
                    _ask()
                if any(not root.exists() for root in there) or _is_new(roots, there):
                    break
            else:
                return


def _is_new(roots: list[Path], there: list[Path]) -> bool:
    """Whether a folder that was not there is now."""
    return any(root.exists() and root not in there for root in roots)


def _ask() -> None:
    close_old_connections()
    try:
        watching.ask_to_scan(watching.SETTLED_SECONDS)
    except DatabaseError:
        # The scan comes by itself as well.
        logger.warning("A change was noticed and could not be recorded.", exc_info=True)
