"""REST views of the keys that sign bundles, and of those that are trusted. For staff; auditors see their public halves."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from condahub.accounts.permissions import HUB, Permission
from condahub.accounts.policy import Actor, reads_all, require
from condahub.api.views import HubView
from condahub.errors import NotFound
from mirrors_app.api import bundle_shapes as shapes
from mirrors_app.bundles import signing
from mirrors_app.models import SigningKey, TrustedKey


def _require_look(actor: Actor) -> None:
    """Raises NotAuthenticated, Forbidden."""
    if not reads_all(actor):
        require(actor, Permission.HUB_OPERATE, HUB)


class SigningKeysView(HubView):
    queryset: QuerySet[SigningKey] = SigningKey.objects.none()
    ordering_fields = ["id"]
    ordering = ["-id"]

    @extend_schema(operation_id="signing_keys_list", responses=shapes.SigningKeyAnswer(many=True))
    def get(self, request: Request) -> Response:
        """The hub's own keys; one of them signs."""
        _require_look(self.actor)
        return self.listed(SigningKey.objects.all(), shapes.SigningKeyAnswer)

    @extend_schema(operation_id="signing_keys_create", request=shapes.FirstKey, responses={201: shapes.SigningKeyAnswer})
    def post(self, request: Request) -> Response:
        """Make the hub's first key. Its private half never leaves the hub."""
        require(self.actor, Permission.HUB_OPERATE, HUB)
        return self.shown(signing.create_key(actor=self.actor, **self.given(shapes.FirstKey)), shapes.SigningKeyAnswer, 201)


class RotateKeyView(HubView):
    @extend_schema(operation_id="signing_keys_rotate", request=shapes.NewKey, responses={201: shapes.SigningKeyAnswer})
    def post(self, request: Request) -> Response:
        """Let a new key sign from now on, named by the one before, so that importers can follow."""
        require(self.actor, Permission.HUB_OPERATE, HUB)
        return self.shown(signing.rotate_key(actor=self.actor, **self.given(shapes.NewKey)), shapes.SigningKeyAnswer, 201)


class SigningKeyView(HubView):
    @extend_schema(operation_id="signing_keys_destroy", responses={204: None})
    def delete(self, request: Request, number: int) -> Response:
        """Revoke one of the hub's own keys: it signs no more, and its private half is gone."""
        require(self.actor, Permission.HUB_OPERATE, HUB)
        found = SigningKey.objects.filter(pk=number).first()
        if found is None:
            raise NotFound("There is no such key.", code="no_such_key")
        signing.revoke_key(actor=self.actor, key=found)
        return Response(status=204)


class TrustedKeysView(HubView):
    queryset: QuerySet[TrustedKey] = TrustedKey.objects.none()
    ordering_fields = ["id"]
    ordering = ["-id"]

    @extend_schema(operation_id="trusted_keys_list", responses=shapes.TrustedKeyAnswer(many=True))
    def get(self, request: Request) -> Response:
        """The keys whose bundles are taken, and those that are not any more."""
        _require_look(self.actor)
        return self.listed(TrustedKey.objects.select_related("follows"), shapes.TrustedKeyAnswer)

    @extend_schema(operation_id="trusted_keys_create", request=shapes.NewTrust, responses={201: shapes.TrustedKeyAnswer})
    def post(self, request: Request) -> Response:
        """Take bundles of this public key from now on."""
        require(self.actor, Permission.HUB_OPERATE, HUB)
        return self.shown(signing.trust(actor=self.actor, **self.given(shapes.NewTrust)), shapes.TrustedKeyAnswer, 201)


class FollowView(HubView):
    @extend_schema(operation_id="trusted_keys_follow", request=shapes.Follow, responses={201: shapes.TrustedKeyAnswer})
    def post(self, request: Request) -> Response:
        """Trust the key that a trusted one has handed over to; `rotations` are those of a manifest, or of a key's file."""
        require(self.actor, Permission.HUB_OPERATE, HUB)
        return self.shown(signing.follow(actor=self.actor, **self.given(shapes.Follow)), shapes.TrustedKeyAnswer, 201)


class TrustedKeyView(HubView):
    @extend_schema(operation_id="trusted_keys_destroy", responses={204: None})
    def delete(self, request: Request, number: int) -> Response:
        """Take no more bundles of it. What was imported stays."""
        require(self.actor, Permission.HUB_OPERATE, HUB)
        found = TrustedKey.objects.filter(pk=number).first()
        if found is None:
            raise NotFound("There is no such key.", code="no_such_key")
        signing.distrust(actor=self.actor, key=found)
        return Response(status=204)
