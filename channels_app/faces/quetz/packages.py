"""Packages of a channel and their versions: listed, read, deleted, copied."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import orjson
from django.db.models import IntegerField, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest

from channels_app import selectors
from channels_app.faces.entry import Answer, Query, json_object, require_signed_in, text_of
from channels_app.faces.quetz import shapes
from channels_app.faces.quetz.search import PACKAGE_CONDITIONS, condition
from channels_app.models import Channel, DownloadCount, Package, PackageFile
from channels_app.services import copying, states
from condahub.accounts.policy import Actor, Permission, can
from condahub.engine import versions
from condahub.errors import Conflict, NotFound, Unprocessable
from condahub.packages.names import split_filename

ORDERS = {"name": "name", "latest_change": "updated_at"}
_VERSION_SPEC = re.compile(r"[0-9A-Za-z_.+!*,|<>=~^$() -]{1,200}")


def list_packages(request: HttpRequest, actor: Actor, channel: str, *, paginated: bool = False) -> object:
    """Packages that the channel's index shows; `q` is the search language, `order_by` name or latest_change, `:asc` or `:desc`."""
    found = selectors.channel_for(actor, channel, Permission.CHANNEL_READ)
    query = Query(request)
    packages = _shown(found).filter(condition(query.text("q"), PACKAGE_CONDITIONS)).order_by(*_order(query.text("order_by")))
    return shapes.listing(query, packages, lambda part: [shapes.package(one) for one in part], paginated=paginated)


def get_package(request: HttpRequest, actor: Actor, channel: str, package: str) -> object:
    return shapes.package(_package(selectors.channel_for(actor, channel, Permission.CHANNEL_READ), package))


def create_package(request: HttpRequest, actor: Actor, channel: str) -> object:
    """Settles that the actor may publish this name; the package itself comes into being with its first file."""
    require_signed_in(actor)
    name = text_of(json_object(request), "name")
    found = selectors.channel_for(actor, channel, Permission.PACKAGE_UPLOAD, package_name=name)
    split_filename(f"{name}-0-0.conda")
    if _shown(found).filter(name=name).exists():
        raise Conflict(f"The package '{name}' is in '{found.name}' already.", code="exists", hint="Publish its files.")
    return Answer(status=201)


def delete_package(request: HttpRequest, actor: Actor, channel: str, package: str) -> object:
    """Deletes all its files as one change; past revisions still hold them. What is held stays held."""
    found = selectors.channel_for(actor, channel, Permission.PACKAGE_DELETE, package_name=package)
    files = PackageFile.objects.filter(channel=found, name=package, state__in=states.DELETE.before).values_list("subdir", "filename")
    if not files:
        raise _no_such_package(found, package)
    states.change_state(actor=actor, channel=found, verb=states.DELETE, files=list(files), reason="package deleted")
    return None


def list_versions(request: HttpRequest, actor: Actor, channel: str, package: str, *, paginated: bool = False) -> object:
    """Live files, the newest first; `time_created__ge` and `version_match_str` (`>=1.0,<2`) narrow."""
    found = selectors.channel_for(actor, channel, Permission.CHANNEL_READ)
    _package(found, package)
    query = Query(request)
    files = _live(found, package)
    if since := query.moment("time_created__ge"):
        files = files.filter(indexed_at__gte=since)
    files = files.annotate(downloads=_downloads()).order_by("-indexed_at", "-pk")
    shows_uploaders = can(actor, Permission.MEMBER_READ, found)

    def shaped(part: Iterable[PackageFile]) -> list[dict[str, Any]]:
        return [_version(found, file, shows_uploaders or file.uploaded_by == actor.label) for file in part]

    if spec := query.text("version_match_str"):
        return shapes.listing(query, _matching(files, package, spec), shaped, paginated=paginated)
    return shapes.listing(query, files, shaped, paginated=paginated)


def get_version(request: HttpRequest, actor: Actor, channel: str, package: str, subdir: str, filename: str) -> object:
    found = selectors.channel_for(actor, channel, Permission.CHANNEL_READ)
    live_file(found, package, subdir, filename)
    file = _live(found, package).annotate(downloads=_downloads()).get(subdir=subdir, filename=filename)
    return _version(found, file, can(actor, Permission.MEMBER_READ, found) or file.uploaded_by == actor.label)


def delete_version(request: HttpRequest, actor: Actor, channel: str, package: str, subdir: str, filename: str) -> object:
    found = selectors.channel_for(actor, channel, Permission.PACKAGE_DELETE, package_name=package)
    _require_of_package(package, filename)
    states.change_state(actor=actor, channel=found, verb=states.DELETE, files=[(subdir, filename)])
    return None


def get_run_exports(request: HttpRequest, actor: Actor, channel: str, package: str, version_build: str) -> object:
    """`version_build` is `<version>-<build>`, as Quetz's plugin has it."""
    found = selectors.channel_for(actor, channel, Permission.CHANNEL_READ)
    version, _, build = version_build.rpartition("-")
    file = _live(found, package).filter(version=version, build=build).order_by("subdir", "filename").first()
    if file is None:
        raise NotFound(f"There is no '{package[:80]}-{version_build[:100]}' in '{found.name}'.", code="no_such_file")
    return orjson.loads(file.run_exports)


def copy_package(request: HttpRequest, actor: Actor, channel: str) -> object:
    """`?source_channel&source_package&subdir&filename`: puts that file into this channel; no bytes are moved."""
    query = Query(request)
    package = query.text("source_package", None)
    target = selectors.channel_for(actor, channel, Permission.PACKAGE_UPLOAD, package_name=package)
    source = selectors.channel_for(actor, query.text("source_channel", None), Permission.CHANNEL_READ)
    filename = query.text("filename", None)
    _require_of_package(package, filename)
    copying.copy(actor=actor, source=source, target=target, files=[(query.text("subdir", None), filename)])
    return Answer(status=201)


def live_file(channel: Channel, package: str, subdir: str, filename: str) -> PackageFile:
    """Raises NotFound where the index does not show this file."""
    file: PackageFile | None = _live(channel, package).filter(subdir=subdir, filename=filename).first()
    if file is None:
        raise NotFound(f"There is no '{subdir[:64]}/{filename[:200]}' of '{package[:80]}' in '{channel.name}'.", code="no_such_file")
    return file


def _shown(channel: Channel) -> Any:
    """Package rows with a live file: what is yanked or held as a whole is not told."""
    return Package.objects.filter(channel=channel).exclude(latest_version="")


def _package(channel: Channel, name: str) -> Package:
    found: Package | None = _shown(channel).filter(name=name).first()
    if found is None:
        raise _no_such_package(channel, name)
    return found


def _no_such_package(channel: Channel, name: str) -> NotFound:
    return NotFound(f"There is no package '{name[:80]}' in '{channel.name}'.", code="no_such_package")


def _live(channel: Channel, package: str) -> Any:
    return PackageFile.objects.shown().filter(channel=channel, name=package)


def _downloads() -> Any:
    of_file = DownloadCount.objects.filter(file=OuterRef("pk")).order_by().values("file").annotate(total=Sum("count")).values("total")
    return Coalesce(Subquery(of_file, output_field=IntegerField()), 0)


def _matching(files: Iterable[PackageFile], package: str, spec: str) -> list[PackageFile]:
    parsed = versions.parse_spec(f"{package} {spec}") if _VERSION_SPEC.fullmatch(spec) else None
    if parsed is None:
        raise Unprocessable(f"'{spec[:80]}' is no version condition.", code="bad_value", hint="For instance >=1.0,<2.")
    return [
        file
        for file in files
        if versions.matches(
            parsed, name=file.name, version=file.version, build=file.build, build_number=file.build_number, subdir=file.subdir
        )
    ]


def _version(channel: Channel, file: Any, shows_uploader: bool) -> dict[str, Any]:
    """PackageVersion. Who uploaded it is told to those who may see the channel's members."""
    return {
        "id": str(file.pk),
        "channel_name": channel.name,
        "package_name": file.name,
        "platform": file.subdir,
        "version": file.version,
        "build_string": file.build,
        "build_number": file.build_number,
        "filename": file.filename,
        "info": orjson.loads(file.record),
        "uploader": {"name": file.uploaded_by if shows_uploader else "", "avatar_url": ""},
        "time_created": shapes.in_iso(file.indexed_at),
        "download_count": file.downloads,
    }


def _require_of_package(package: str, filename: str) -> None:
    if split_filename(filename).name != package:
        raise Unprocessable(f"'{filename[:100]}' is not of the package '{package[:80]}'.", code="wrong_package")


def _order(text: str) -> tuple[str, ...]:
    if not text:
        return ("name",)
    key, _, direction = text.partition(":")
    if key not in ORDERS or direction not in ("", "asc", "desc"):
        raise Unprocessable("Packages can't be ordered so.", code="bad_value", hint="Use name or latest_change, with :asc or :desc.")
    return (f"{'-' if direction == 'desc' else ''}{ORDERS[key]}", "pk")
