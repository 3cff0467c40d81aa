"""REST views of bundles: made and fetched, brought and run; files are streamed, and permission comes before body."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from channels_app import selectors
from condahub.accounts.permissions import Permission
from condahub.accounts.policy import reads_all
from condahub.api.authentication import HeaderAuthentication
from condahub.api.views import HubView
from condahub.errors import NotFound
from condahub.server.body import iterate_body
from condahub.storage.blobs import blobs
from condahub.storage.serve import serve_blob, serve_bytes
from mirrors_app.api import bundle_shapes as shapes
from mirrors_app.bundles import exporting, importing, planning, rechecking
from mirrors_app.bundles.core.manifest import MANIFEST_NAME, SIGNATURE_NAME
from mirrors_app.models import BundleExport, BundleImport, ExportState

# A bundle is as private as its channel, whatever lies between.
CACHE_CONTROL = "private, no-cache"


class ExportsView(HubView):
    queryset: QuerySet[BundleExport] = BundleExport.objects.none()
    ordering_fields = ["id"]
    ordering = ["-id"]

    @extend_schema(operation_id="exports_list", responses=shapes.ExportAnswer(many=True))
    def get(self, request: Request, channel: str) -> Response:
        """The bundles that were made of a channel. For those who may make them, and auditors."""
        looks = reads_all(self.actor)
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ) if looks else planning.channel_of(self.actor, channel)
        planning.require_own_packages(found)
        rows = BundleExport.objects.filter(channel=found).select_related("channel").prefetch_related("parts").defer("parts__members")
        return self.listed(rows, shapes.ExportAnswer)

    @extend_schema(operation_id="exports_create", request=shapes.NewExport, responses={202: shapes.ExportAnswer})
    def post(self, request: Request, channel: str) -> Response:
        """Make a bundle of the channel's revision, of the difference since one, or of an environment; a job does it."""
        found = planning.channel_of(self.actor, channel)
        export = exporting.order_export(actor=self.actor, channel=found, **self.given(shapes.NewExport))
        return self.shown(export, shapes.ExportAnswer, 202)


class ExportView(HubView):
    @extend_schema(operation_id="exports_retrieve", responses=shapes.ExportAnswer)
    def get(self, request: Request, number: int) -> Response:
        """One bundle, with its files."""
        return self.shown(exporting.export_seen(self.actor, number), shapes.ExportAnswer)

    @extend_schema(operation_id="exports_destroy", responses={204: None})
    def delete(self, request: Request, number: int) -> Response:
        """Let go of its bytes. Later bundles can still stand on it."""
        exporting.delete_export(actor=self.actor, export=exporting.export_for(self.actor, number))
        return Response(status=204)


class ExportFileView(HubView):
    @extend_schema(operation_id="exports_file", responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, number: int, name: str) -> HttpResponseBase:
        """One file of a bundle that is ready; with ETag and Range, so that a broken download goes on.

        403 where a package of it may not be given out any more (`policy_denied`, `held`), 410 where it was purged.
        """
        found = exporting.export_for(self.actor, number)
        if found.state == ExportState.READY:
            rechecking.require_open(found)
        return _file(request._request, found, name)


def _file(request: HttpRequest, export: BundleExport, name: str) -> HttpResponseBase:
    ready = export.state == ExportState.READY
    if ready and name == SIGNATURE_NAME:
        return serve_bytes(
            request,
            bytes.fromhex(export.signature),
            content_type="application/octet-stream",
            etag=export.signature[:64],
            cache_control=CACHE_CONTROL,
            filename=name,
        )
    sha256, size = "", 0
    if ready and name == MANIFEST_NAME:
        sha256, size = export.manifest_sha256, export.manifest_size
    elif ready:
        sha256, size = next(
            ((sha, size) for number, sha, size in export.parts.values_list("number", "sha256", "size") if name == f"part-{number:04d}.tar"),
            ("", 0),
        )
    if not sha256:
        raise NotFound(f"There is no '{name[:40]}' of this bundle (it is {export.state}).", code="no_such_part")
    return serve_blob(
        request,
        namespace=planning.NAMESPACE,
        sha256=sha256,
        size=size,
        content_type="application/json" if name == MANIFEST_NAME else "application/x-tar",
        etag=sha256,
        cache_control=CACHE_CONTROL,
        filename=name,
    )


class ImportsView(HubView):
    queryset: QuerySet[BundleImport] = BundleImport.objects.none()
    ordering_fields = ["id"]
    ordering = ["-id"]

    @extend_schema(operation_id="imports_list", responses=shapes.ImportAnswer(many=True))
    def get(self, request: Request, channel: str) -> Response:
        """The bundles that were brought to a channel. For those who may bring them, and auditors."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ if reads_all(self.actor) else Permission.MIRROR_UPDATE)
        return self.listed(BundleImport.objects.filter(channel=found).select_related("channel"), shapes.ImportAnswer, missing=lambda _: [])

    @extend_schema(operation_id="imports_create", request=shapes.NewImport, responses={201: shapes.ImportAnswer})
    def post(self, request: Request, channel: str) -> Response:
        """Begin to bring a bundle: its files are then sent one by one, or lie in a folder that IT has listed."""
        found = selectors.channel_for(self.actor, channel, Permission.MIRROR_UPDATE)
        given = self.given(shapes.NewImport)
        folder = given.pop("folder", "")
        taken = importing.begin_import(actor=self.actor, channel=found, folder=folder, options=given)
        return self.shown(taken, shapes.ImportAnswer, 201, missing=importing.missing_parts)


class ImportView(HubView):
    @extend_schema(operation_id="imports_retrieve", responses=shapes.ImportAnswer)
    def get(self, request: Request, number: int) -> Response:
        """One import, with the files that must still come."""
        return self.shown(importing.import_seen(self.actor, number), shapes.ImportAnswer, missing=importing.missing_parts)

    @extend_schema(operation_id="imports_destroy", responses={204: None})
    def delete(self, request: Request, number: int) -> Response:
        """Let go of it, and of what was uploaded for it."""
        importing.forget_import(actor=self.actor, taken=importing.import_for(self.actor, number))
        return Response(status=204)


class ImportRunView(HubView):
    @extend_schema(operation_id="imports_run", request=None, responses={202: shapes.ImportAnswer})
    def post(self, request: Request, number: int) -> Response:
        """Verify and publish it, by a job; again after it was interrupted or refused."""
        taken = importing.ask_to_run(actor=self.actor, taken=importing.import_for(self.actor, number))
        return self.shown(taken, shapes.ImportAnswer, 202, missing=importing.missing_parts)


class ImportFileView(HubView):
    # A browser's cookie opens no upload; so there is nothing for CSRF to guard.
    authentication_classes = [HeaderAuthentication]
    parser_classes = []
    is_upload = True

    @extend_schema(
        operation_id="imports_file",
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={200: shapes.ImportAnswer},
    )
    def put(self, request: Request, number: int, name: str) -> Response:
        """Send one file, whole: manifest.sig, then manifest.json, then the parts in any order. The same again is taken quietly."""
        taken = importing.import_for(self.actor, number)
        text = request._request.META.get("CONTENT_LENGTH") or ""
        declared = int(text) if text.isascii() and text.isdigit() else None
        limit = importing.permit_file(actor=self.actor, taken=taken, name=name, declared_bytes=declared)
        with blobs(planning.NAMESPACE).temporary(declared) as temporary:
            for piece in iterate_body(request._request, limit_bytes=limit):
                temporary.write(piece)
            importing.receive(actor=self.actor, taken=taken, name=name, temporary=temporary)
        return self.shown(taken, shapes.ImportAnswer, missing=importing.missing_parts)
