"""How arguments are read and dangerous things are asked about, the same in every remote command."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import click

from condahub.cli.client import Hub
from condahub.cli.exits import Failure, Usage

PACKAGE_ENDINGS = (".conda", ".tar.bz2")
_LASTING = re.compile(r"([1-9][0-9]{0,4})([dhwmy])")
_HOURS = {"h": 1, "d": 24, "w": 7 * 24, "m": 30 * 24, "y": 365 * 24}


def segment(text: str) -> str:
    """One path segment of a URL."""
    if not text or text in (".", ".."):
        raise Usage(f"'{text}' is not a name.")
    return quote(text, safe="@")


def confirm(question: str, yes: bool) -> None:
    """Ask before what can't be taken back lightly; a program has to say --yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Usage(f"{question} Nothing was done.", hint="Nobody is there to ask: give --yes.")
    click.confirm(question, abort=True, err=True)


def expiry(text: str | None) -> str | None:
    """`90d`, `12h`, `2027-01-31` or a full time -> RFC 3339 in UTC. Raises Usage."""
    if text is None:
        return None
    if found := _LASTING.fullmatch(text):
        return (datetime.now(UTC) + timedelta(hours=int(found[1]) * _HOURS[found[2]])).replace(microsecond=0).isoformat()
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise Usage(f"'{text}' is no time.", hint="Use 90d, 12h, 2027-01-31 or 2027-01-31T12:00:00Z.") from None
    if len(text) == 10:
        when = when.replace(hour=23, minute=59, second=59)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).isoformat()


def resolve(hub: Hub, channel: str, names: Sequence[str]) -> list[dict[str, str]]:
    """`noarch/a-1-0.conda` or, where only one subdir has it, `a-1-0.conda` -> [{"subdir", "filename"}]. Raises Usage, Failure."""
    found = []
    for name in names:
        subdir, slash, filename = name.rpartition("/")
        if not filename.endswith(PACKAGE_ENDINGS) or "/" in subdir or (slash and not subdir):
            raise Usage(f"'{name}' does not name a package file.", hint="Write SUBDIR/FILENAME, for example noarch/a-1.0-0.conda.")
        if not subdir:
            subdir = _only_subdir(hub, channel, filename)
        found.append({"subdir": subdir, "filename": filename})
    return found


def _only_subdir(hub: Hub, channel: str, filename: str) -> str:
    package = filename.rsplit("-", 2)[0]
    rows = hub.pages(f"channels/{segment(channel)}/files", name=package)
    subdirs = sorted({str(row["subdir"]) for row in rows if row.get("filename") == filename})
    if not subdirs:
        raise Failure(f"There is no '{filename}' in '{channel}'.", code="no_such_file")
    if len(subdirs) > 1:
        raise Usage(f"'{filename}' is in several subdirs: {', '.join(subdirs)}.", hint=f"Write {subdirs[0]}/{filename}.")
    return subdirs[0]
