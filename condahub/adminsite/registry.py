"""What the apps above give the admin: cards of the dashboard, what they plan by the clock, things to be tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Card:
    """One card of the dashboard. context: what its template is given; None leaves the card out. wide: over the whole width."""

    name: str
    template: str
    context: Callable[[], dict[str, Any] | None]
    order: int
    wide: bool = False


@dataclass(frozen=True)
class Planned:
    """Something that an app does by the clock. path: its page."""

    kind: str
    name: str
    when: str
    next_run: datetime | None
    path: str = ""


@dataclass(frozen=True)
class Probe:
    """Something that staff can try with a button. try_it: says what it found, or raises; `choices`: of what, if there are several.

    It tells no secret, and ends within seconds.
    """

    name: str
    title: str
    explains: str
    try_it: Callable[[Any, str], str]
    choices: Callable[[], Iterable[tuple[str, str]]] | None = None
    order: int = 50


_cards: dict[str, Card] = {}
_plans: list[Callable[[], Iterable[Planned]]] = []
_probes: dict[str, Probe] = {}


def register_card(card: Card) -> None:
    """From `AppConfig.ready`. What `context` costs counts: the whole dashboard is made anew every 30 s at most."""
    _cards[card.name] = card


def cards() -> list[Card]:
    return sorted(_cards.values(), key=lambda card: card.order)


def register_planned(planned: Callable[[], Iterable[Planned]]) -> None:
    """`planned()` gives what comes next of an app's own clock, the soonest first."""
    _plans.append(planned)


def planned() -> list[Planned]:
    return [one for plan in _plans for one in plan()]


def register_probe(probe: Probe) -> None:
    _probes[probe.name] = probe


def probes() -> list[Probe]:
    return sorted(_probes.values(), key=lambda probe: probe.order)
