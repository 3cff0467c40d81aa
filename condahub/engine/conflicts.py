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
_BRANCH = re.compile(r"^[├└]─ ")
_MISSING = re.compile(r"(?:No candidates were found for (?P<alone>.+?)\.?$)|(?P<inside>\S.*?), for which no candidates were found")


def explain(platform: str, said: str, specs: Sequence[str]) -> Conflict:
    """The conflict of a platform. said: the solver's message; specs: what the user asked for, as written."""
    text = said.strip().removeprefix(_LEAD).strip()
    roots = _roots(text)
    involved = []
    for spec in specs:
        why = next((line for line in roots if _is_about(line, spec)), None)
        if why is not None:
            involved.append(ConflictingSpec(spec, why[:MAX_WHY_CHARS]))
    if not involved:
        # The tree may start somewhere deeper: whatever of it carries the name of something asked for.
        involved = [
            ConflictingSpec(spec) for spec in specs if (name := _name(spec)) and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", text)
        ]
    return Conflict(platform=platform, text=_bounded(text, involved), specs=tuple(involved), missing=_missing(text))


def _roots(text: str) -> list[str]:
    """The lines at the tree's root, each of which begins with something that was asked for."""
    lines = text.splitlines()
    roots = [_BRANCH.sub("", line) for line in lines if _BRANCH.match(line)]
    return [*roots, *lines[:1]]


def _is_about(line: str, spec: str) -> bool:
    name = _name(spec)
    if not name:
        return False
    line = line.removeprefix("No candidates were found for ").removeprefix("the constraint ")
    return line.split(" ", 1)[0].rstrip(".,") == name


def _name(spec: str) -> str:
    parsed = parse_spec(spec)
    name = getattr(getattr(parsed, "name", None), "normalized", None) if parsed is not None else None
    return str(name) if name else re.split(r"[\s=<>!~\[]", spec.rpartition("::")[2].strip().lower(), maxsplit=1)[0]


def _missing(text: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for line in text.splitlines():
        match = _MISSING.search(line.lstrip("│├└─ "))
        if match:
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
