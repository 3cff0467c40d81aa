"""REST views that packages come in by: one raw body, or a multipart batch; both streamed, permission before body."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import HttpRequest
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from channels_app.api import shapes
from channels_app.models import Channel
from channels_app.services.publish import Published, Upload, UploadPermit, permit_upload, publish
from condahub.api.authentication import HeaderAuthentication
from condahub.api.fields import HubSerializer
from condahub.api.views import HubView
from condahub.errors import Unprocessable
from condahub.server.body import iterate_body, multipart_files
from condahub.storage.blobs import blobs

BATCH_FIELD = "files"
# Boundaries and headers of the parts come on top of the packages' own bytes.
MULTIPART_SLACK_BYTES = 1024**2
MAX_BATCH_FILES = 500


class PackageBytes(serializers.FileField):
    """For the schema alone: nothing here reads a file through a serializer."""


class Batch(HubSerializer):
    files = serializers.ListField(child=PackageBytes(), min_length=1, max_length=MAX_BATCH_FILES)


class _UploadView(HubView):
    # A browser's cookie opens no upload; so there is nothing for CSRF to guard.
    authentication_classes = [HeaderAuthentication]
    is_upload = True

    def answer(self, channel: Channel, published: Sequence[Published]) -> list[dict[str, object]]:
        context = {**self.get_serializer_context(), "channel": channel}
        return [
            {**shapes.FileAnswer(one.file, context=context).data, "created": one.created, "revision": one.revision} for one in published
        ]


class UploadView(_UploadView):
    parser_classes = []

    @extend_schema(
        operation_id="files_upload",
        parameters=[shapes.UploadQuery],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={201: shapes.PublishedAnswer, 200: shapes.PublishedAnswer},
    )
    def post(self, request: Request, channel: str, filename: str) -> Response:
        """Publish one package: the body is the .conda or .tar.bz2 itself, with a Content-Length or chunked.

        It is in the index when this answers: 201, or 200 when the same bytes were there. Other bytes under the name are 409.
        """
        asked = self.asked(shapes.UploadQuery)
        permit = permit_upload(
            actor=self.actor,
            channel_name=channel,
            filename=filename,
            subdir=asked["subdir"],
            force=asked["force"],
            declared_bytes=_declared_bytes(request._request),
        )
        with blobs().temporary(_declared_bytes(request._request)) as temporary:
            for piece in iterate_body(request._request, limit_bytes=permit.limit_bytes):
                temporary.write(piece)
            upload = Upload(filename=filename, temporary=temporary, subdir=asked["subdir"], expected_sha256=asked["sha256"])
            published = publish(actor=self.actor, permit=permit, uploads=[upload])
        return Response(self.answer(permit.channel, published)[0], status=201 if published[0].created else 200)


class BatchView(_UploadView):
    parser_classes = []

    @extend_schema(
        operation_id="files_upload_batch",
        parameters=[shapes.BatchQuery],
        request={"multipart/form-data": Batch},
        responses={201: shapes.BatchAnswer, 200: shapes.BatchAnswer},
    )
    def post(self, request: Request, channel: str) -> Response:
        """Publish several packages as one change, all of them or none: multipart, the field `files` once a package."""
        asked = self.asked(shapes.BatchQuery)
        declared = _declared_bytes(request._request)
        permit = permit_upload(
            actor=self.actor,
            channel_name=channel,
            force=asked["force"],
            declared_bytes=None if declared is None else max(declared - MULTIPART_SLACK_BYTES, 0),
        )
        published = self.receive(request._request, permit)
        status = 201 if any(one.created for one in published) else 200
        revision = max(one.revision for one in published)
        return Response({"files": self.answer(permit.channel, published), "revision": revision}, status=status)

    def receive(self, request: HttpRequest, permit: UploadPermit) -> list[Published]:
        with multipart_files(request, store=blobs(), limit_bytes=permit.limit_bytes + MULTIPART_SLACK_BYTES) as form:
            uploads = [Upload(filename=one.filename, temporary=one.blob) for one in form.files if one.field == BATCH_FIELD]
            if not uploads or len(uploads) != len(form.files) or len(uploads) > MAX_BATCH_FILES:
                raise Unprocessable(
                    "The body holds no batch of packages.",
                    code="files_missing",
                    hint=f"Send 1 to {MAX_BATCH_FILES} packages, each as a file part named '{BATCH_FIELD}'.",
                )
            return publish(actor=self.actor, permit=permit, uploads=uploads)


def _declared_bytes(request: HttpRequest) -> int | None:
    text = request.META.get("CONTENT_LENGTH") or ""
    return int(text) if text.isascii() and text.isdigit() else None
