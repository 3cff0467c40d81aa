"""What a specification means, before it is built: what is wrong with it and where, whether it solves, to which packages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor
from condahub.errors import HubError, Unavailable
from environments_app.building import questions
from environments_app.models import Environment
from environments_app.services import builds
from environments_app.services.choices import Choices
from environments_app.spec import Problem, SpecInvalid

SHOWN_LINE_CHARS = 200


@dataclass(frozen=True)
class Fault:
    """One complaint, with the line that it speaks of. number: 0 for the text as a whole."""

    number: int
    line: str
    detail: str
    hint: str


@dataclass(frozen=True)
class Solved:
    """One platform. asked: the packages that lines ask for; along: what these need."""

    platform: str
    seconds: float | None
    asked: list[dict[str, Any]]
    along: list[dict[str, Any]]

    @property
    def size(self) -> int:
        return sum(row["size"] for row in (*self.asked, *self.along))

    @property
    def count(self) -> int:
        return len(self.asked) + len(self.along)


@dataclass(frozen=True)
class Meaning:
    """verdict: '' (nothing was given), 'faulty', 'solves', 'conflict', 'busy', 'refused'."""

    verdict: str
    faults: list[Fault] = field(default_factory=list)
    platforms: list[Solved] = field(default_factory=list)
    conflict: dict[str, Any] | None = None
    error: HubError | None = None
    numbered: bool = True


def meaning(
    *,
    actor: Actor,
    organization: Organization,
    environment: Environment | None,
    text: str,
    choices: Choices | None = None,
    numbered: bool = True,
) -> Meaning:
    """Read it first, which is cheap, then ask whether it solves. numbered: whether the person sees the text that lines are counted in.

    Raises NotAuthenticated, Forbidden.
    """
    if not text.strip():
        return Meaning("")
    try:
        builds.validate(actor=actor, text=text, organization=organization, environment=environment)
        answer = questions.would_it_solve(actor=actor, organization=organization, environment=environment, text=text, choices=choices)
    except SpecInvalid as error:
        return Meaning("faulty", faults=faults_of(text, error.problems), numbered=numbered)
    except Unavailable as error:
        return Meaning("busy", error=error)
    except HubError as error:
        if error.status in (401, 403):
            raise
        return Meaning("refused", error=error)
    if not answer["solves"]:
        return Meaning("conflict", conflict=answer["conflict"], numbered=numbered)
    return Meaning("solves", platforms=[_solved(name, rows, answer["seconds"].get(name)) for name, rows in answer["packages"].items()])


def faults_of(text: str, problems: Sequence[Problem]) -> list[Fault]:
    """The complaints, each with its line as it stands in the text."""
    lines = text.splitlines()
    return [Fault(one.line, _line(lines, one.line), one.detail, one.hint) for one in problems]


def _line(lines: Sequence[str], number: int) -> str:
    return lines[number - 1].rstrip()[:SHOWN_LINE_CHARS] if 0 < number <= len(lines) else ""


def _solved(platform: str, rows: Sequence[dict[str, Any]], seconds: float | None) -> Solved:
    asked = [row for row in rows if row["requested"]]
    return Solved(platform, seconds, asked, [row for row in rows if not row["requested"]])
