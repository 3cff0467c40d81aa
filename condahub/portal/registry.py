"""What the apps above give the portal: navigation, panels of the dashboard and of organizations, search, use of space."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils.functional import Promise

from condahub.accounts.models import Organization
from condahub.accounts.permissions import Permission
from condahub.accounts.policy import Actor
from condahub.accounts.services import NewToken
from condahub.portal.paste import Paste


@dataclass(frozen=True)
class NavigationEntry:
    """One entry at the left. path: where it leads; everything below that path lights it up. anonymous: shown to everybody."""

    label: str | Promise
    icon: str
    path: str
    order: int
    anonymous: bool = False


@dataclass(frozen=True)
class Panel:
    """One panel of the dashboard. context: what its template is given; None leaves the panel out."""

    template: str
    context: Callable[[Actor], dict[str, Any] | None]
    order: int
    aside: bool = False


@dataclass(frozen=True)
class OrganizationPanel:
    """One part of an organization's first page, made for an organization that the actor may see."""

    template: str
    context: Callable[[Actor, Organization], dict[str, Any] | None]
    order: int


@dataclass(frozen=True)
class Tab:
    """One tab of an object's pages. url_name: takes the object's name; permission: what opens it, asked of the object.

    for_auditors: whether who reads everything may look at what others change there.
    """

    key: str
    label: str | Promise
    url_name: str
    permission: Permission
    order: int
    for_auditors: bool = False


@dataclass(frozen=True)
class Found:
    """One thing that a search found."""

    label: str
    path: str
    icon: str
    kind: str
    summary: str = ""
    note: str = ""


Search = Callable[[Actor, str, int], Sequence[Found]]
Usage = Callable[[Collection[int]], Sequence[QuerySet[Any, Any]]]
LinkOf = Callable[[str], str]
TokenPastes = Callable[[Actor, str, NewToken], Sequence[Paste]]

_navigation: list[NavigationEntry] = []
_panels: list[Panel] = []
_organization_panels: list[OrganizationPanel] = []
_organization_tabs: list[Tab] = []
_searches: list[tuple[int, Search]] = []
_asks: list[Search] = []
_usages: list[Usage] = []
_audit_links: dict[str, LinkOf] = {}
_token_pastes: list[TokenPastes] = []
_welcome: list[str] = []


def register_navigation(entry: NavigationEntry) -> None:
    _navigation.append(entry)


def register_panel(panel: Panel) -> None:
    _panels.append(panel)


def register_organization_panel(panel: OrganizationPanel) -> None:
    _organization_panels.append(panel)


def register_organization_tab(tab: Tab) -> None:
    _organization_tabs.append(tab)


def organization_tabs() -> list[Tab]:
    return list(_organization_tabs)


def register_search(search: Search, *, order: int) -> None:
    """`search(actor, text, limit)` finds at most `limit` things, of those only that the actor may see."""
    _searches.append((order, search))


def register_ask(ask: Search) -> None:
    """`ask(actor, text, limit)` gives places in which somebody who found nothing may ask for it."""
    _asks.append(ask)


def register_usage(usage: Usage) -> None:
    """`usage(organization_ids)` gives rows of (organization id, logical bytes), unasked: those of all apps are one query."""
    _usages.append(usage)


def register_audit_link(prefix: str, link: LinkOf) -> None:
    """Targets of the audit that begin with `prefix` (`channel:`) lead to `link(target)`; '' for no page."""
    _audit_links[prefix] = link


def register_token_pastes(pastes: TokenPastes) -> None:
    """`pastes(actor, channel, made)` gives the lines that a token just made for a channel is good for, its secret filled in."""
    _token_pastes.append(pastes)


def register_welcome(path: str) -> None:
    """Where somebody lands who is not signed in: what this hub shows to everybody."""
    _welcome.append(path)


def welcome() -> str:
    return _welcome[0] if _welcome else ""


def navigation(actor: Actor) -> list[NavigationEntry]:
    shown = [entry for entry in _navigation if entry.anonymous or not actor.is_anonymous]
    return sorted(shown, key=lambda entry: entry.order)


def panels(actor: Actor) -> list[tuple[Panel, dict[str, Any]]]:
    made = [(panel, panel.context(actor)) for panel in sorted(_panels, key=lambda panel: panel.order)]
    return [(panel, context) for panel, context in made if context is not None]


def organization_panels(actor: Actor, organization: Organization) -> list[tuple[OrganizationPanel, dict[str, Any]]]:
    made = [(panel, panel.context(actor, organization)) for panel in sorted(_organization_panels, key=lambda panel: panel.order)]
    return [(panel, context) for panel, context in made if context is not None]


def search(actor: Actor, text: str, limit: int) -> list[Found]:
    """What every app finds, each at most `limit`."""
    return [found for _, one in sorted(_searches, key=lambda pair: pair[0]) for found in one(actor, text, limit)]


def asks(actor: Actor, text: str, limit: int) -> list[Found]:
    return [found for ask in _asks for found in ask(actor, text, limit)]


def used_bytes(organization_ids: Collection[int]) -> dict[int, int]:
    """Logical bytes by organization, as quotas count them; one query for all apps."""
    total = dict.fromkeys(organization_ids, 0)
    rows = [one for usage in _usages for one in usage(organization_ids)] if organization_ids else []
    for pk, nbytes in rows[0].union(*rows[1:], all=True) if rows else ():
        total[pk] = total.get(pk, 0) + (nbytes or 0)
    return total


def audit_link(target: str) -> str:
    prefix = target.partition(":")[0] + ":"
    link = _audit_links.get(prefix)
    return link(target) if link is not None else ""


def token_pastes(actor: Actor, channel: str, made: NewToken) -> list[Paste]:
    return [paste for pastes in _token_pastes for paste in pastes(actor, channel, made)]
