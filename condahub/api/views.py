"""The base of every view of our REST API, and the two that tell of the hub itself."""

from __future__ import annotations

from functools import cache
from typing import Any, NoReturn

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from condahub import __version__
from condahub.accounts.actors import Actor
from condahub.api.authentication import actor_of
from condahub.api.fields import Answer
from condahub.api.permissions import Anybody
from condahub.errors import Forbidden, NotAuthenticated


class HubView(GenericAPIView[Any]):
    """Default deny: signed in unless the view says Anybody. Views read with selectors and write with services."""

    @property
    def actor(self) -> Actor:
        return actor_of(self.request)

    def listed(self, rows: QuerySet[Any], shape: type[serializers.BaseSerializer[Any]], **context: Any) -> Response:
        """One page of the rows, filtered and ordered as the query asks."""
        page = self.paginate_queryset(self.filter_queryset(rows))
        return self.get_paginated_response(shape(page, many=True, context={**self.get_serializer_context(), **context}).data)

    def shown(self, row: Any, shape: type[serializers.BaseSerializer[Any]], status: int = 200, **context: Any) -> Response:
        return Response(shape(row, context={**self.get_serializer_context(), **context}).data, status=status)

    def given(self, shape: type[serializers.BaseSerializer[Any]], *, partial: bool = False) -> dict[str, Any]:
        """The body, checked. Raises ValidationError."""
        return _checked(shape(data=self.request.data, partial=partial))

    def asked(self, shape: type[serializers.BaseSerializer[Any]]) -> dict[str, Any]:
        """The query's parameters, checked. Raises ValidationError."""
        return _checked(shape(data=self.request.query_params.dict()))

    def permission_denied(self, request: Request, message: str | None = None, code: str | None = None) -> NoReturn:
        if actor_of(request).is_anonymous:
            raise NotAuthenticated
        raise Forbidden

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        # Answers depend on who asks, and some hold secrets: no cache keeps them.
        response.headers.setdefault("Cache-Control", "no-store")
        return response


def _checked(serializer: serializers.BaseSerializer[Any]) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return values


class HubAnswer(Answer):
    name = serializers.CharField()
    version = serializers.CharField()
    public_url = serializers.URLField()


class HubInfoView(HubView):
    permission_classes = [Anybody]
    pagination_class = None

    @extend_schema(operation_id="hub_retrieve", responses=HubAnswer)
    def get(self, request: Request) -> Response:
        """What this server is, and the address it knows itself by. For anybody."""
        return Response({"name": "condahub", "version": __version__, "public_url": settings.CONDAHUB_PUBLIC_URL})


class SchemaView(HubView):
    permission_classes = [Anybody]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """This API as OpenAPI 3.1. For anybody."""
        return HttpResponse(_document(), content_type="application/json")


@cache
def _document() -> bytes:
    """The same for everybody and as long as the process lives; making it takes a while, so once."""
    document = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    rendered: bytes = OpenApiJsonRenderer().render(document, renderer_context={})
    return rendered
