"""The packages page of a virtual channel: the names that its index shows, each with the member whose it is."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpResponseBase

from channels_app.index import maps
from channels_app.models import Channel, Package
from channels_app.portal.frame import head
from channels_app.virtual import reads
from condahub.accounts.policy import Actor, Permission, can
from condahub.portal import paging
from condahub.portal.page import PortalRequest, asked, show


def packages(request: PortalRequest, channel: Channel) -> HttpResponseBase:
    """The names that its index shows, with what the owning member says of each, where the person may know that one."""
    text = asked(request, "q").lower()
    shown = maps.load(channel.pk, channel.head) if channel.head else {}
    names = sorted({name for by_name in shown.values() for name in by_name if text in name})
    listed = Paginator(names, paging.PAGE_ROWS).get_page(request.GET.get("page", "1")[:9])
    context = {
        **head(request, channel, "packages"),
        "rows": _with_owners(request.actor, channel, list(listed.object_list), {subdir: set(by_name) for subdir, by_name in shown.items()}),
        "listed": listed,
        "total": len(names),
        "previous": paging.address(request, page=listed.number - 1) if listed.has_previous() else "",
        "next": paging.address(request, page=listed.number + 1) if listed.has_next() else "",
        "q": text,
    }
    return show(request, "channels/union_packages.html", context)


def _with_owners(actor: Actor, channel: Channel, names: list[str], shown: dict[str, set[str]]) -> list[dict[str, Any]]:
    """Whose a name is that the index shows: the highest member's that has something to install of it."""
    members = [row.member for row in reads.rows_of(channel)]
    known = {one.pk: one for one in members if can(actor, Permission.CHANNEL_READ, one)}
    about: QuerySet[Package] = Package.objects.filter(channel__in=members, name__in=names).exclude(latest_version="").defer("description")
    packages = {(row.channel_id, row.name): row for row in about}
    rows = []
    for name in names:
        pk = next((one.pk for one in members if (one.pk, name) in packages), 0)
        platforms = sorted(subdir for subdir, there in shown.items() if name in there)
        package = packages[pk, name] if pk in known else None
        rows.append({"name": name, "owner": known.get(pk), "package": package, "platforms": platforms})
    return rows
