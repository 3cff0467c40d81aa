"""Copying and promoting: which files of a package go to which other channel."""

from __future__ import annotations

from django.db.models import QuerySet
from django.db.models.functions import Coalesce
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _

from channels_app import listings, selectors
from channels_app.models import Channel, ChannelKind, Effect, FileState, PackageFile
from channels_app.portal import reads, words
from channels_app.portal.frame import channel_for, head
from channels_app.services import copying
from condahub.accounts.policy import Actor, Permission, can
from condahub.errors import HubError, Unprocessable
from condahub.portal.page import PortalRequest, asked, done, page, person, show
from condahub.portal.wording import counted

# More are chosen by version, or sent through the API.
MAX_FILES = 200
MAX_TARGETS = 500


@page(methods=("GET", "HEAD", "POST"))
def copy_files(request: PortalRequest, channel: str, package: str) -> HttpResponseBase:
    """Choose the files and the channel they go to; `choose` in the form comes from the package's page and copies nothing yet."""
    person(request)
    found = channel_for(request, channel)
    listings.package_of(request.actor, found, package)
    chosen = request.POST.getlist("file") if request.method == "POST" else request.GET.getlist("file")
    error: HubError | None = None
    if request.method == "POST" and "choose" not in request.POST:
        try:
            return _copy(request, found, package, chosen)
        except HubError as refused:
            error = refused
    version = asked(request, "version")
    rows = _files(request.actor, found, package, version)
    files = list(rows[: MAX_FILES + 1])
    context = {
        **head(request, found, "packages", whole=False),
        "name": package,
        "version": version,
        "files": files[:MAX_FILES],
        "versions": _versions(rows) if len(files) > MAX_FILES else [],
        "ticked": set(chosen) or {f"{file.subdir}/{file.filename}" for file in files},
        "targets": _targets(request.actor, found, package),
        "visibilities": words.VISIBILITIES_INSIDE,
        "to": request.POST.get("to", ""),
        "promote": request.POST.get("verb") == "promote",
        "may_promote": found.kind == ChannelKind.HOSTED and can(request.actor, Permission.PACKAGE_DELETE, found.target(package)),
    }
    return show(request, "channels/copy.html", context, error=error)


def _copy(request: PortalRequest, source: Channel, package: str, chosen: list[str]) -> HttpResponseBase:
    pairs = [(subdir, filename) for subdir, slash, filename in (key.partition("/") for key in chosen) if slash]
    # Another package's file is no business of this page.
    pairs = [pair for pair in pairs if pair[1].rsplit("-", 2)[0] == package]
    if not pairs:
        raise Unprocessable(_("No file is ticked."), hint=_("Tick the files that are meant."))
    if len(pairs) > MAX_FILES:
        detail = _("At most %(number)s files are copied at once here.") % {"number": MAX_FILES}
        raise Unprocessable(detail, hint=_("Choose a version, or use the API."))
    verb = request.POST.get("verb", "")
    if verb not in ("copy", "promote"):
        raise Unprocessable(_("Say whether the files stay here."), hint=_("Choose to copy or to promote."))
    target = selectors.channel_for(request.actor, request.POST.get("to", "").strip(), Permission.CHANNEL_READ)
    copied = copying.copy(actor=request.actor, source=source, target=target, files=pairs, remove_from_source=verb == "promote")
    promoted, only_copied = _("%(files)s promoted from %(source)s to %(target)s."), _("%(files)s copied from %(source)s to %(target)s.")
    values = {"files": counted(len(copied), "file"), "source": source.name, "target": target.name}
    path = reverse("channels:package", args=[target.name, package])
    return done(request, path, (promoted if verb == "promote" else only_copied) % values)


def _files(actor: Actor, channel: Channel, package: str, version: str) -> QuerySet[PackageFile]:
    """What can leave the channel: the files that its index shows."""
    rows = listings.files_of(actor, channel).filter(name=package, state=FileState.LIVE, verdict=Effect.ALLOW).defer("record", "about")
    # Not by the column itself: for that SQLite would walk the whole channel by date rather than look up a name.
    rows = rows.alias(published=Coalesce("indexed_at", "indexed_at")).order_by("-published", "-pk")
    return rows.filter(version=version) if version else rows


def _versions(rows: QuerySet[PackageFile]) -> list[str]:
    return reads.newest_first(list(rows.order_by().values_list("version", flat=True).distinct()))


def _targets(actor: Actor, source: Channel, package: str) -> list[Channel]:
    """The channels that packages are put into, of those that the actor may put this one into."""
    rows = Channel.objects.visible_to(actor).filter(kind=ChannelKind.HOSTED).exclude(pk=source.pk).select_related("organization")
    return [row for row in rows.order_by("name")[:MAX_TARGETS] if can(actor, Permission.PACKAGE_UPLOAD, row.target(package))]
