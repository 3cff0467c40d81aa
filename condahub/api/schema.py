"""Describes our REST API as OpenAPI 3.1: how to authenticate, and which errors every operation may answer with."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers

from condahub.api.authentication import HubAuthentication
from condahub.api.fields import Answer
from condahub.api.permissions import Anybody


class Error(Answer):
    """Every refusal and failure: a stable word, a sentence, and what to do about it."""

    code = serializers.CharField()
    detail = serializers.CharField()
    hint = serializers.CharField(allow_blank=True)


ERRORS = {
    400: "The request itself is wrong.",
    401: "Nobody is signed in, or the token is not valid.",
    403: "Not allowed, or it does not exist: both answer alike.",
    404: "It is not there.",
    406: "The answer can't be given in the form that was asked for, or a body's sha256 differs from what was promised.",
    503: "Something the hub stands on does not answer; try again.",
}
CHANGE_ERRORS = {
    409: "The present state does not allow it.",
    413: "The body is too large, or a quota is used up.",
    415: "The body is not in a form that is read here.",
    422: "A value can't be accepted.",
    429: "Too many requests.",
}
UPLOAD_ERRORS = {
    405: "Packages come to this channel by its mirror, not by upload.",
    408: "The body stopped coming.",
    411: "The length of the body is needed.",
    507: "The hub's storage is full.",
}


TOKEN_SCHEMES = ("bearer", "basic", "apiKey")


class HubSchema(AutoSchema):
    """Adds the errors and the ways to authenticate; an upload is an operation whose view says `is_upload`."""

    def get_auth(self) -> list[dict[str, list[str]]]:
        """Which of the settings' security schemes open this operation; an empty one stands for nobody signed in."""
        schemes: list[dict[str, list[str]]] = [{name: []} for name in TOKEN_SCHEMES]
        if HubAuthentication in self.view.authentication_classes:
            schemes.append({"session": []})
        if Anybody in self.view.permission_classes and self.method == "GET":
            schemes.append({})
        return schemes

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        errors = dict(ERRORS)
        if self.method not in ("GET", "HEAD"):
            errors |= CHANGE_ERRORS
        if getattr(self.view, "is_upload", False):
            errors |= UPLOAD_ERRORS
        reference = self.resolve_serializer(Error(), "response").ref
        for status, description in errors.items():
            operation["responses"].setdefault(
                str(status), {"description": description, "content": {"application/json": {"schema": reference}}}
            )
        operation["responses"] = dict(sorted(operation["responses"].items()))
        return operation
