"""REST views of a channel's files: lists, verbs, copies and hotfixes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from channels_app import listings, selectors
from channels_app.api import shapes
from channels_app.api.filters import FileFilter
from channels_app.models import Attestation, Channel, PackageFile
from channels_app.services import attesting, copying, hotfix, states
from condahub.accounts.permissions import Permission
from condahub.api.parsers import HubJsonParser, InstructionsParser
from condahub.api.permissions import Anybody
from condahub.api.views import HubView
from condahub.errors import NotFound
from condahub.packages.names import check_subdir


class _FilesAnswering(HubView):
    def changed(self, channel: Channel, files: Sequence[PackageFile]) -> Response:
        """The files as they are now, and the revision that shows them so."""
        head = Channel.objects.values_list("head", flat=True).get(pk=channel.pk)
        return self.shown({"files": files, "revision": head}, shapes.FilesAnswer, channel=channel)


class FilesView(HubView):
    queryset: QuerySet[PackageFile] = PackageFile.objects.none()
    permission_classes = [Anybody]
    filterset_class = FileFilter
    ordering_fields = ["filename", "indexed_at", "name", "size", "subdir"]
    ordering = ["subdir", "name", "filename", "id"]

    @extend_schema(operation_id="files_list", responses=shapes.FileAnswer(many=True))
    def get(self, request: Request, channel: str) -> Response:
        """The files of a channel. Held, deleted and purged ones are shown to those who may upload there."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        return self.listed(listings.files_of(self.actor, found), shapes.FileAnswer, channel=found)


class FileView(_FilesAnswering):
    permission_classes = [Anybody]

    @extend_schema(operation_id="files_retrieve", responses=shapes.FileDetail)
    def get(self, request: Request, channel: str, subdir: str, filename: str) -> Response:
        """One file, with its record as the index shows it."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        return self.shown(listings.file_of(self.actor, found, subdir, filename), shapes.FileDetail, channel=found)

    @extend_schema(operation_id="files_delete", responses={204: None})
    def delete(self, request: Request, channel: str, subdir: str, filename: str) -> Response:
        """Take a file out of the current revision. Past revisions still hold it, and `restore` brings it back."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        states.change_state(actor=self.actor, channel=found, verb=states.DELETE, files=[(subdir, filename)])
        return Response(status=204)


class AttestationsView(HubView):
    permission_classes = [Anybody]
    parser_classes = [HubJsonParser]

    @extend_schema(operation_id="attestations_retrieve", responses=shapes.AttestationAnswer)
    def get(self, request: Request, channel: str, subdir: str, filename: str) -> Response:
        """What attests a file: its sidecar's sha256 (CEP-50; "" where nothing does), and who the certificates in it say signed."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        file = listings.file_of(self.actor, found, subdir, filename)
        return self.shown(attesting.current_of(file) or Attestation(file=file), shapes.AttestationAnswer, channel=found)

    @extend_schema(operation_id="attestations_create", request=OpenApiTypes.OBJECT, responses={201: shapes.AttestationAnswer})
    def post(self, request: Request, channel: str, subdir: str, filename: str) -> Response:
        """Bring an attestation (CEP-27): the body is a Sigstore bundle, or an array of them; what was there stays.

        Checked are its form, that it speaks of this file, and that its signature is its certificate's. Whether that certificate can be
        trusted is not: whoever installs finds that out, against the same bundle.
        """
        found = selectors.channel_for(self.actor, channel, Permission.PACKAGE_UPLOAD, package_name=filename.rsplit("-", 2)[0])
        content = orjson.dumps(request.data)
        made = attesting.attest(actor=self.actor, channel=found, subdir=subdir, filename=filename, content=content)
        return self.shown(made, shapes.AttestationAnswer, 201, channel=found)


class VerbView(_FilesAnswering):
    @extend_schema(
        operation_id="files_change",
        request=shapes.FilesChange,
        responses=shapes.FilesAnswer,
        parameters=[OpenApiParameter("verb", str, OpenApiParameter.PATH, enum=sorted(states.VERBS))],
    )
    def post(self, request: Request, channel: str, verb: str) -> Response:
        """Delete, yank, restore, quarantine, release or purge files, all of them or none; a retry changes nothing more.

        yank: out of the index, still downloadable. quarantine: not shown until released. purge: bytes gone for good, from past
        revisions too. quarantine and purge need a reason.
        """
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        if verb not in states.VERBS:
            raise NotFound("There is no such verb.", code="no_such_verb", hint=f"One of {', '.join(sorted(states.VERBS))}.")
        values = self.given(shapes.FilesChange)
        files = states.change_state(
            actor=self.actor, channel=found, verb=states.VERBS[verb], files=_pairs(values["files"]), reason=values["reason"]
        )
        return self.changed(found, files)


class CopyView(_FilesAnswering):
    @extend_schema(operation_id="files_copy", request=shapes.FilesCopy, responses=shapes.FilesAnswer)
    def post(self, request: Request, channel: str) -> Response:
        """Copy files of another channel into this one, or promote them; no bytes are moved."""
        target = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        values = self.given(shapes.FilesCopy)
        source = selectors.channel_for(self.actor, values["source"], Permission.CHANNEL_READ)
        files = copying.copy(
            actor=self.actor, source=source, target=target, files=_pairs(values["files"]), remove_from_source=values["promote"]
        )
        return self.changed(target, files)


class HotfixView(_FilesAnswering):
    parser_classes = [InstructionsParser]

    @extend_schema(operation_id="files_hotfix", request=OpenApiTypes.OBJECT, responses=shapes.FilesAnswer)
    def post(self, request: Request, channel: str, subdir: str) -> Response:
        """Correct records: the body is a patch_instructions.json (packages, packages.conda, revoke, remove)."""
        found = selectors.channel_for(self.actor, channel, Permission.PACKAGE_PATCH)
        check_subdir(subdir)
        instructions: Any = request.data
        return self.changed(found, hotfix.apply(actor=self.actor, channel=found, subdir=subdir, instructions=instructions))


def _pairs(files: Sequence[dict[str, str]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((one["subdir"], one["filename"]) for one in files))
