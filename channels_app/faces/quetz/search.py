"""Quetz's search language: `foo channel:x -platform:y NOT z`; nothing is found that the asker may not see."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest

from channels_app.faces.entry import Query
from channels_app.faces.quetz import mirrors, shapes
from channels_app.models import Channel, Package, PackageFile
from condahub.accounts.policy import Actor
from condahub.errors import Unprocessable

MAX_QUERY_CHARS = 500
MAX_TERMS = 20
MAX_FOUND = 1000
_TERM = re.compile(r'(?P<minus>-)?(?:(?P<key>[a-z_]+):)?(?:"(?P<quoted>[^"]*)"|(?P<word>\S+))')


@dataclass(frozen=True)
class Term:
    """One condition; key is "" for a bare word."""

    key: str
    value: str
    negated: bool = False


Conditions = Mapping[str, Callable[[str], Q]]


def parse(text: str) -> list[Term]:
    """The terms of a query, all of which must hold. Raises Unprocessable where it is too long."""
    if len(text) > MAX_QUERY_CHARS:
        raise Unprocessable("The search text is too long.", code="bad_query", hint=f"At most {MAX_QUERY_CHARS} characters.")
    terms: list[Term] = []
    negate_next = False
    for found in _TERM.finditer(text):
        value = found["quoted"] if found["quoted"] is not None else found["word"]
        if found["word"] == "NOT" and not found["minus"] and not found["key"]:
            negate_next = True
            continue
        terms.append(Term(found["key"] or "", value, negate_next != bool(found["minus"])))
        negate_next = False
    if len(terms) > MAX_TERMS:
        raise Unprocessable("The search has too many words.", code="bad_query", hint=f"At most {MAX_TERMS}.")
    return terms


def condition(text: str, conditions: Conditions) -> Q:
    """The filter of a query. Raises Unprocessable for a key that there is not."""
    whole = Q()
    for term in parse(text):
        if term.key not in conditions:
            keys = ", ".join(f"{key}:" for key in sorted(conditions) if key)
            raise Unprocessable(f"Nothing can be searched by '{term.key}:'.", code="bad_query", hint=f"Use {keys} or plain words.")
        one = conditions[term.key](term.value)
        whole &= ~one if term.negated else one
    return whole


def _has_file(**wanted: str) -> Q:
    files = PackageFile.objects.shown().filter(channel=OuterRef("channel"), name=OuterRef("name"), **wanted)
    return Q(Exists(files))


# Django escapes % and _ of what people type, so that they mean themselves.
PACKAGE_CONDITIONS: Conditions = {
    "": lambda value: Q(name__icontains=value) | Q(summary__icontains=value),
    "name": lambda value: Q(name__icontains=value),
    "summary": lambda value: Q(summary__icontains=value),
    "description": lambda value: Q(description__icontains=value),
    "license": lambda value: Q(license__icontains=value),
    "channel": lambda value: Q(channel__name__icontains=value),
    "platform": lambda value: _has_file(subdir=value),
    "version": lambda value: _has_file(version=value),
}
CHANNEL_CONDITIONS: Conditions = {
    "": lambda value: Q(name__icontains=value) | Q(description__icontains=value),
    "name": lambda value: Q(name__icontains=value),
    "description": lambda value: Q(description__icontains=value),
    "organization": lambda value: Q(organization__name=value),
    "package": lambda value: Q(Exists(Package.objects.filter(channel=OuterRef("pk"), name=value))),
}


def search_packages(request: HttpRequest, actor: Actor) -> object:
    """Packages of all visible channels, each with its channel's name."""
    query = Query(request)
    visible = Channel.objects.visible_to(actor).values("pk")
    found = Package.objects.filter(condition(query.text("q"), PACKAGE_CONDITIONS), channel__in=visible).exclude(latest_version="")
    rows = found.select_related("channel").order_by("name", "channel__name")[:MAX_FOUND]
    return [{**shapes.package(one), "channel_name": one.channel.name} for one in rows]


def search_channels(request: HttpRequest, actor: Actor) -> object:
    query = Query(request)
    found = Channel.objects.visible_to(actor).filter(condition(query.text("q"), CHANNEL_CONDITIONS))
    some = list(found.order_by("name")[:MAX_FOUND])
    described = mirrors.described(actor, some)
    return [shapes.channel_base(one, mirror=described.get(one.pk, (None, None))) for one in some]
