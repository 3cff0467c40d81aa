"""Turns the solver's own words about a conflict into an explanation that starts from the lines a person wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence

from condahub.engine.protocol import Conflict, ConflictingSpec
from condahub.engine.versions import parse_spec

MAX_TEXT_CHARS = 16_000
MAX_TEXT_LINES = 200
MAX_WHY_CHARS = 300
MAX_MISSING = 50

_LEAD = "Cannot solve the request because of:"
_BRANCH = re.compile(r"^[│├└─ ]+")
_MISSING = re.compile(r"(?:No candidates were found for (?P<alone>.+?)\.?$)|(?P<inside>\S.*?), for which no candidates were found")


def explain(platform: str, said: str, specs: Sequence[str]) -> Conflict:
    """The conflict of a platform. said: the solver's message; specs: what the user asked for, as written."""
    text = said.strip().removeprefix(_LEAD).strip()
    lines = [
        _BRANCH.sub("", line).removeprefix("No candidates were found for ").removeprefix("the constraint ") for line in text.splitlines()
    ]
    first: dict[str, str] = {}
    for line in lines:
        first.setdefault(line.split(" ", 1)[0].rstrip(".,"), line)
    # The solver leaves out of the tree what a line of the user's own has taken away before it began: those are named too.
    involved = [ConflictingSpec(spec, first[name][:MAX_WHY_CHARS]) for spec in specs if (name := _name(spec)) in first]
    return Conflict(platform=platform, text=_bounded(text, involved), specs=tuple(involved), missing=_missing(text, specs))


def _name(spec: str) -> str:
    parsed = parse_spec(spec)
    name = getattr(getattr(parsed, "name", None), "normalized", None) if parsed is not None else None
    return str(name) if name else re.split(r"[\s=<>!~\[]", spec.rpartition("::")[2].strip().lower(), maxsplit=1)[0]


def _missing(text: str, specs: Sequence[str]) -> tuple[str, ...]:
    restricted = {_name(spec) for spec in specs}
    found: dict[str, None] = {}
    for line in text.splitlines():
        match = _MISSING.search(_BRANCH.sub("", line))
        if match and (match["alone"] or _name(match["inside"]) not in restricted):
            found.setdefault((match["alone"] or match["inside"]).strip())
    return tuple(found)[:MAX_MISSING]


def _bounded(text: str, involved: Sequence[ConflictingSpec]) -> str:
    lines = text.splitlines()
    if len(lines) > MAX_TEXT_LINES:
        text = "\n".join([*lines[:MAX_TEXT_LINES], f"... and {len(lines) - MAX_TEXT_LINES} more lines"])
    if len(text) > MAX_TEXT_CHARS:
        text = text[:MAX_TEXT_CHARS].rsplit("\n", 1)[0] + "\n... and more"
    if involved:
        text += "\n\nAsked for: " + ", ".join(one.spec for one in involved)
    return text
