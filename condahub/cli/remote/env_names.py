"""How environments and builds are named on the command line, and waited for."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from condahub.cli.client import Hub
from condahub.cli.exits import Failure, Usage
from condahub.cli.session import Session
from condahub.cli.wording import segment

POLL_SECONDS = 1.0
ENDED = ("completed", "failed", "cancelled")
_NAME = re.compile(r"(?P<organization>[^/@\s]+)/(?P<name>[^/@\s]+)(?:@(?P<number>[1-9][0-9]{0,9}))?")


@dataclass(frozen=True)
class Name:
    """An environment; number: of one of its builds, None where the current one is meant."""

    organization: str
    name: str
    number: int | None = None

    @classmethod
    def of(cls, text: str, *, numbered: bool = False) -> Name:
        """`acme/tools`, and where numbered `acme/tools@3`. Raises Usage."""
        found = _NAME.fullmatch(text)
        if found is None or (found["number"] and not numbered) or {found["organization"], found["name"]} & {".", ".."}:
            form = "ORGANIZATION/ENVIRONMENT" + ("[@NUMBER]" if numbered else "")
            raise Usage(f"'{text}' does not name an environment.", hint=f"Write {form}, for example acme/tools{'@3' if numbered else ''}.")
        return cls(found["organization"], found["name"], int(found["number"]) if found["number"] else None)

    @property
    def path(self) -> str:
        """Below the REST API's root."""
        return f"organizations/{segment(self.organization)}/environments/{segment(self.name)}"

    @property
    def build_path(self) -> str:
        return f"{self.path}/builds/{self.number or 'current'}"

    def __str__(self) -> str:
        return f"{self.organization}/{self.name}" + (f"@{self.number}" if self.number else "")


def wait(session: Session, hub: Hub, name: Name, number: int) -> dict[str, Any]:
    """The build when it has completed, its phases told meanwhile. Raises Failure when it fails, with what the solver says."""
    told = ""
    while True:
        build: dict[str, Any] = hub.get(f"{name.path}/builds/{number}")
        said = str(build.get("phase") or build["state"]) if build["state"] not in ENDED else ""
        if said and said != told:
            session.note(f"{name} build {number}: {said}")
            told = said
        if build["state"] == "completed":
            return build
        if build["state"] in ENDED:
            raise _failed(name, build)
        time.sleep(POLL_SECONDS)


def _failed(name: Name, build: dict[str, Any]) -> Failure:
    error: dict[str, Any] = build.get("error") or {}
    more: dict[str, Any] = error.get("more") or {}
    lines = [f"line {one['line']}: {one['spec']}" for one in more.get("specs", ()) if one.get("line")]
    tree = [str(more["tree"])] if more.get("tree") else []
    asks = [
        f"Ask for it: condahub request ask {row['channel']} '{row['spec']}' --build {name}@{build['number']} --reason ..."
        for row in more.get("asks") or ()
    ]
    what = "was cancelled" if build["state"] == "cancelled" else "failed"
    detail = f"Build {build['number']} of {name} {what}. {error.get('detail', '')}".rstrip()
    return Failure(detail, hint="\n".join([*tree, *lines, *asks]), code=str(error.get("code") or build["state"]))
