"""The page of a package, of one of its files, and what is done to files."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from django.db.models.functions import Coalesce
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from channels_app import contents, dependents, listings
from channels_app.index.render import FileRow, shown_record
from channels_app.models import Channel, FileState, Package, PackageFile
from channels_app.portal import charts, lines, reads
from channels_app.portal.frame import channel_for, head
from channels_app.services import states
from condahub.accounts.policy import Actor, can
from condahub.errors import HubError, NotFound, Unprocessable
from condahub.portal import paging
from condahub.portal.page import PortalRequest, asked, done, failed, page, person, safe_next, show
from condahub.portal.wording import counted

FILE_COLUMNS = {
    "file": (_("File"), ["filename", "subdir", "pk"]),
    "size": (_("Size"), ["size", "pk"]),
    "published": (_("Published"), ["published", "pk"]),
}
MAX_LISTED = 2000
DEPENDENTS_SHOWN = 8
# How each verb is offered: the words of the choice, and what was done.
VERBS = {
    "yank": (_("Yank: out of the index, still downloadable"), _("%(files)s yanked.")),
    "restore": (_("Restore"), _("%(files)s restored.")),
    "quarantine": (_("Hold: hidden until released (say why)"), _("%(files)s held.")),
    "release": (_("Release"), _("%(files)s released.")),
    "delete": (_("Delete: past revisions keep it"), _("%(files)s deleted.")),
    "purge": (_("Purge: bytes gone for good (say why)"), _("%(files)s purged.")),
}


@page(anonymous=True)
def package(request: PortalRequest, channel: str, package: str) -> HttpResponseBase:
    found = channel_for(request, channel)
    actor = request.actor
    about = listings.package_of(actor, found, package)
    files = listings.files_of(actor, found).filter(name=package).defer("record", "run_exports", "about", "patch")
    filters = {name: asked(request, name) for name in ("version", "platform")}
    shown = files.filter(version=filters["version"]) if filters["version"] else files
    shown = shown.filter(subdir=filters["platform"]) if filters["platform"] else shown
    # Not by the column itself: for that SQLite would walk the whole channel by date rather than look up a name.
    shown = shown.alias(published=Coalesce("indexed_at", "indexed_at"))
    columns, order = paging.sorting(request, FILE_COLUMNS, "-published")
    newest = reads.newest_file(files, about.latest_version) if about.latest_version else None
    weeks = reads.downloads_by_week(found, package)
    record = _record(newest) if newest else {}
    context = {
        **head(request, found, "packages", whole=False),
        "package": about,
        "package_sentence": _sentence(about),
        # A package says what it likes: only an address of the web becomes a link.
        "package_link": about.url if about.url.startswith(("https://", "http://")) else "",
        "paste": lines.install(found, package, newest) if newest else None,
        "grid": reads.grid(files, whole="all" in request.GET),
        "page": paging.numbered(request, shown.order_by(*order)),
        "columns": columns,
        "newest": newest,
        "dependencies": reads.dependencies(listings.packages_of(actor, found), record.get("depends", [])),
        "needed_by": list(dependents.dependents_of(found, package)[: DEPENDENTS_SHOWN + 1]),
        "dependents_shown": DEPENDENTS_SHOWN,
        "weeks": weeks,
        "bars": charts.bars(weeks),
        "chart_width": charts.BAR_STEP * len(weeks),
        "downloads": sum(week.count for week in weeks),
        "verbs": _verbs(actor, found, package),
        "filtered": any(filters.values()),
        **filters,
    }
    return show(request, "channels/package.html", context)


@page(anonymous=True)
def needed_by(request: PortalRequest, channel: str, package: str) -> HttpResponseBase:
    """What needs a package, which may itself be missing here: in this channel by pages, and where else to look."""
    found = channel_for(request, channel)
    context = {
        **head(request, found, "packages", whole=False),
        "name": package,
        "there": listings.packages_of(request.actor, found).filter(name=package).exists(),
        "page": paging.numbered(request, dependents.dependents_of(found, package)),
        "elsewhere": dependents.channels_needing(request.actor, package, beside=found),
    }
    return show(request, "channels/needed_by.html", context)


@page(anonymous=True)
def file(request: PortalRequest, channel: str, subdir: str, filename: str) -> HttpResponseBase:
    """One file: what its index says, what it exports, where it came from."""
    found = channel_for(request, channel)
    row = listings.file_of(request.actor, found, subdir, filename)
    # Asked for: it is read out of the package.
    looks = request.GET.get("files") == "1"
    inside = contents.files_in(row) if looks else None
    context = {
        **head(request, found, "packages", whole=False),
        "file": row,
        "looks": looks,
        "inside": inside[:MAX_LISTED] if inside is not None else None,
        "inside_more": max(0, len(inside) - MAX_LISTED) if inside is not None else 0,
        "record": json.dumps(_record(row), indent=2, sort_keys=True),
        "run_exports": json.dumps(msgspec.json.decode(row.run_exports), indent=2) if row.run_exports not in ("", "{}") else "",
        "dependencies": reads.dependencies(listings.packages_of(request.actor, found), _record(row).get("depends", [])),
        "verbs": _verbs(request.actor, found, row.name, row.state),
        "file_key": f"{row.subdir}/{row.filename}",
        "download": f"{lines.address(found).replace('/t/<token>', '')}/{row.subdir}/{row.filename}",
        "downloadable": row.state in (FileState.LIVE, FileState.YANKED),
    }
    return show(request, "channels/file.html", context)


@page(methods=("POST",))
def change(request: PortalRequest, channel: str, package: str) -> HttpResponseBase:
    """Yank, hold, delete ... the files that are ticked: all of them or none."""
    person(request)
    found = channel_for(request, channel)
    path = safe_next(request, reverse("channels:package", args=[found.name, package]))
    try:
        chosen = [(subdir, filename) for subdir, slash, filename in (key.partition("/") for key in request.POST.getlist("file")) if slash]
        if not chosen:
            raise Unprocessable(gettext("No file is ticked."), hint=gettext("Tick the files that are meant."))
        verb = request.POST.get("verb", "")
        if verb not in VERBS:
            raise NotFound(gettext("There is no such verb."), hint=gettext("Choose what is to be done."))
        states.change_state(
            actor=request.actor, channel=found, verb=states.VERBS[verb], files=chosen, reason=request.POST.get("reason", "")
        )
    except HubError as error:
        return failed(request, path, error)
    if not Package.objects.filter(channel=found, name=package).exists():
        path = reverse("channels:channel", args=[found.name])
    return done(request, path, VERBS[verb][1] % {"files": counted(len(chosen), "file")})


def _verbs(actor: Actor, channel: Channel, package: str, state: str = "") -> list[tuple[str, str]]:
    """What the actor may do to the files of this name; of one file, what its state allows."""
    possible = []
    for key, (label, _done) in VERBS.items():
        verb = states.VERBS[key]
        if can(actor, verb.permission, channel.target(package)) and (not state or state in verb.before):
            possible.append((key, str(label)))
    return possible


def _record(row: PackageFile) -> dict[str, Any]:
    return shown_record(FileRow(row.filename, row.state, row.record, row.run_exports, row.about, row.patch, row.revoked))


def _sentence(about: Package) -> str:
    if not about.latest_version:
        return gettext("Nothing of it can be installed now: its files are held, yanked or deleted.")
    return gettext("Version %(version)s is the latest; %(files)s for %(platforms)s.") % {
        "version": about.latest_version,
        "files": counted(about.files_count, "file"),
        "platforms": counted(len(about.platforms), "platform"),
    }
