"""REST views of what is made from builds: listed, downloaded with Range and ETag, asked for."""

from __future__ import annotations

from typing import Any

import orjson
from django.http import HttpResponseBase
from django.urls import register_converter
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from condahub.accounts.permissions import Permission
from condahub.api.converters import NumberConverter
from condahub.api.fields import Answer
from condahub.api.permissions import Anybody
from condahub.api.views import HubView
from condahub.errors import NotFound
from environments_app import selectors
from environments_app.api.shapes import BuildDetail
from environments_app.artifacts import archiving, services
from environments_app.artifacts.texts import lock_of
from environments_app.faces import artifacts as face
from environments_app.models import ArtifactKind, ArtifactState, Build

_QUERY = [
    OpenApiParameter("urls", enum=["hub", "upstream"], description="Addresses in lock files: of this hub, or the original ones."),
    OpenApiParameter("version", enum=["6", "7"], description="Of pixi.lock."),
    OpenApiParameter("hash", enum=["md5", "sha256"], description="In the explicit file."),
    OpenApiParameter("wait", OpenApiTypes.INT, description=f"Seconds to wait for what has to be made, at most {face.MAX_WAIT_SECONDS}."),
]


CURRENT = "current"


class ChosenConverter(NumberConverter):
    """A build by its number, or the current one."""

    regex = rf"[0-9]{{1,18}}|{CURRENT}"

    def to_python(self, value: str) -> int | str:  # type: ignore[override]
        return value if value == CURRENT else int(value)

    def to_url(self, value: int | str) -> str:
        return str(value)


register_converter(ChosenConverter, "chosen")


class ListedAnswer(Answer):
    """`url` gives the bytes; on_demand: the first who asks there has it made."""

    kind = serializers.ChoiceField(ArtifactKind.choices)
    platform = serializers.CharField(allow_blank=True, help_text="Empty for what is the same on all.")
    state = serializers.ChoiceField([*ArtifactState.values, services.ON_DEMAND])
    filename = serializers.CharField()
    content_type = serializers.CharField()
    size = serializers.IntegerField(allow_null=True)
    sha256 = serializers.CharField(allow_blank=True)
    error = serializers.CharField(allow_blank=True)
    url = serializers.SerializerMethodField()

    def get_url(self, one: services.Listed) -> str:
        return face.Asked.of(self.context["build"], one.kind, one.platform, {}).address


class PendingAnswer(Answer):
    state = serializers.ChoiceField(ArtifactState.choices)
    error = serializers.CharField(allow_blank=True)
    job = serializers.IntegerField(allow_null=True)
    phase = serializers.CharField(allow_blank=True)
    done = serializers.IntegerField()
    total = serializers.IntegerField(allow_null=True)
    location = serializers.CharField()


class LockAnswer(Answer):
    """What `condahub env pull` puts together: see condahub.engine.lock.HubLock, which names channels, revisions and files, never a host."""

    number = serializers.IntegerField()
    variables = serializers.DictField(child=serializers.CharField(), help_text="Set when it is activated.")
    dependencies = serializers.ListField(child=serializers.CharField(), help_text="What was asked for.")
    lock = serializers.DictField()
    ran_scripts = serializers.ListField(
        child=serializers.CharField(), help_text="Scripts of packages that ran when the hub built it; what they wrote is in no lock."
    )


class _ArtifactView(HubView):
    permission_classes = [Anybody]
    pagination_class: Any = None
    filter_backends = []

    def found(self, words: dict[str, Any], permission: Permission = Permission.BUILD_READ) -> Build:
        """The build that the path names, by number or as the current one, made only of what the actor may read."""
        environment = selectors.environment_for(self.actor, words["organization"], words["environment"], permission)
        number = words["chosen"] if "chosen" in words else words["number"]
        if number == CURRENT:
            if environment.current_build is None:
                raise NotFound(f"'{environment}' has no current build that you may see.", code="no_such_build")
            number = environment.current_build.number
        return selectors.build_for(self.actor, environment, number)

    def meant(self, words: dict[str, Any]) -> face.Asked:
        return face.Asked.of(self.found(words), words["kind"], words.get("platform", ""), self.request.query_params.dict())


class ArtifactsView(_ArtifactView):
    @extend_schema(operation_id="builds_artifacts", responses=ListedAnswer(many=True))
    def get(self, request: Request, **words: Any) -> Response:
        """What there is of a build to download, and what can be made of it."""
        build = self.found(words)
        context = {**self.get_serializer_context(), "build": build}
        return Response(ListedAnswer(services.listed(build), many=True, context=context).data)


class LockView(_ArtifactView):
    @extend_schema(operation_id="builds_lock", responses=LockAnswer)
    def get(self, request: Request, **words: Any) -> Response:
        """Exactly which packages the build is made of, on each platform, with their hashes. 409 where it has not completed."""
        build = self.found(words)
        lock_of(build)
        assert build.lock is not None
        answer = {
            "number": build.number,
            "variables": build.request.get("variables") or {},
            "dependencies": build.request.get("dependencies") or [],
            "lock": orjson.loads(bytes(build.lock.content)),
            "ran_scripts": [one["path"] for one in build.ran_scripts],
        }
        return Response(LockAnswer(answer).data)


class ArtifactView(_ArtifactView):
    @extend_schema(
        operation_id="builds_artifact",
        parameters=_QUERY,
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY, 202: PendingAnswer},
    )
    def get(self, request: Request, **words: Any) -> HttpResponseBase:
        """The bytes of an artifact, whole or in part (`Range`, `If-None-Match`).

        202 with `Location` and `Retry-After` where it has to be made first; it is then on its way. 422 `artifact_failed` where
        that went wrong, with the reason.
        """
        return face.give(request._request, self.actor, self.meant(words))

    @extend_schema(operation_id="builds_artifact_make", request=None, responses={202: PendingAnswer, 200: PendingAnswer})
    def post(self, request: Request, **words: Any) -> HttpResponseBase:
        """Have it made, anew where that failed. Texts are always there."""
        asked = self.meant(words)
        if not asked.kind.is_packed:
            return Response(
                {"state": ArtifactState.READY, "error": "", "job": None, "phase": "", "done": 0, "total": None, "location": asked.address}
            )
        row = services.ask(actor=self.actor, build=asked.build, kind=asked.kind, platform=asked.platform)
        answer = face.pending(asked, row)
        answer.status_code = 200 if row.state == ArtifactState.READY else 202
        return answer


@extend_schema_view(
    get=extend_schema(operation_id="builds_artifact_of_platform"), post=extend_schema(operation_id="builds_artifact_make_of_platform")
)
class PlatformArtifactView(ArtifactView):
    """The same for one platform of several; without it this hub's own is meant."""


class WheelView(_ArtifactView):
    @extend_schema(operation_id="builds_wheel", responses={(200, "application/zip"): OpenApiTypes.BINARY})
    def get(self, request: Request, **words: Any) -> HttpResponseBase:
        """A wheel that the build is made of, as the hub keeps it. The name at the end is for those who save it."""
        return face.give_wheel(request._request, self.found(words), words["sha256"])


class ArchiveView(_ArtifactView):
    @extend_schema(operation_id="builds_archive", request=None, responses=BuildDetail)
    def post(self, request: Request, **words: Any) -> Response:
        """Keep its lock alone: its folder and archives go, and can be made again. 409 for the current build."""
        build = self.found(words, Permission.ENVIRONMENT_UPDATE)
        archiving.archive_build(actor=self.actor, build=build)
        return self.shown(selectors.build_for(self.actor, build.environment, build.number), BuildDetail)


class RestoreView(_ArtifactView):
    @extend_schema(operation_id="builds_restore", request=None, responses={202: BuildDetail, 200: BuildDetail})
    def post(self, request: Request, **words: Any) -> Response:
        """Have the folder of an archived build put together again, of the very same packages; 200 where it is there."""
        build = self.found(words, Permission.ENVIRONMENT_UPDATE)
        job = archiving.restore_build(actor=self.actor, build=build)
        found = selectors.build_for(self.actor, build.environment, build.number)
        return self.shown(found, BuildDetail, 200 if job is None else 202)
