"""REST views of API tokens and of the robot accounts that hold some."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from condahub.accounts import places, selectors, services
from condahub.accounts.actors import Limit
from condahub.accounts.api import lookups, shapes
from condahub.accounts.api.filters import TokenFilter
from condahub.accounts.models import ApiToken, User
from condahub.accounts.permissions import Permission
from condahub.accounts.services import NewToken
from condahub.api.probing import ProbeThrottle
from condahub.api.views import HubView
from condahub.errors import Unprocessable


class _TokensAnswering(HubView):
    def tokens(self, rows: QuerySet[ApiToken]) -> Response:
        page = list(self.paginate_queryset(self.filter_queryset(rows)) or ())
        names = shapes.PlaceNames(limit for token in page for limit in token.limits.all())
        return self.get_paginated_response(shapes.TokenAnswer(page, many=True, context={"names": names}).data)

    def token(self, token: ApiToken) -> dict[str, Any]:
        answer: dict[str, Any] = shapes.TokenAnswer(token, context={"names": shapes.PlaceNames(token.limits.all())}).data
        return answer

    def made(self, made: NewToken) -> Response:
        """The only answer that holds a secret."""
        return Response({**self.token(made.token), "secret": made.secret}, status=201)

    def create(self, owner: User | None = None) -> Response:
        values = self.given(shapes.NewTokenRequest)
        limits = [
            *[Limit(lookups.organization_for(self.actor, name).pk, None, "", "") for name in values["organizations"]],
            *[self.limit(name, "") for name in values["channels"]],
            *[self.limit(*_split(text)) for text in values["packages"]],
        ]
        made = services.create_token(
            actor=self.actor,
            name=values["name"],
            scopes=values["scopes"],
            limits=limits,
            expires_at=values["expires_at"],
            owner=owner,
        )
        return self.made(made)

    def limit(self, channel: str, package: str) -> Limit:
        target = places.find(places.CHANNEL, self.actor, channel)
        return Limit(target.organization_id, target.channel_id, package, "")


def _split(text: str) -> tuple[str, str]:
    channel, slash, package = text.partition("/")
    if not (channel and slash and package):
        raise Unprocessable("A package is named as channel/package.", code="invalid_limits", hint="For instance: tools/numpy.")
    return channel, package


class TokensView(_TokensAnswering):
    queryset: QuerySet[ApiToken] = ApiToken.objects.none()
    filterset_class = TokenFilter
    ordering_fields = ["id", "name", "created_at", "expires_at", "last_used_at"]
    ordering = ["-id"]

    @extend_schema(operation_id="tokens_list", responses=shapes.TokenAnswer(many=True))
    def get(self, request: Request) -> Response:
        """One's own tokens, without their secrets; with `owner` those of robots and, for staff, of others."""
        return self.tokens(selectors.visible_tokens(self.actor))

    @extend_schema(operation_id="tokens_create", request=shapes.NewTokenRequest, responses={201: shapes.NewTokenAnswer})
    def post(self, request: Request) -> Response:
        """Make a token for oneself. Its secret is in this answer and nowhere else.

        A token made with a token gets no more than that one has.
        """
        return self.create()


class TokenView(_TokensAnswering):
    @extend_schema(operation_id="tokens_retrieve", responses=shapes.TokenAnswer)
    def get(self, request: Request, number: int) -> Response:
        """One token, without its secret."""
        return Response(self.token(lookups.token_for(self.actor, number)))

    @extend_schema(operation_id="tokens_revoke", responses={204: None})
    def delete(self, request: Request, number: int) -> Response:
        """End a token; it stops working everywhere within 10 s. A token may always end itself."""
        own = self.actor.token
        token = own if own is not None and own.pk == number else lookups.token_for(self.actor, number)
        services.revoke_token(actor=self.actor, token=token)
        return Response(status=204)


class TokenRotateView(_TokensAnswering):
    @extend_schema(operation_id="tokens_rotate", request=shapes.Rotation, responses={201: shapes.NewTokenAnswer})
    def post(self, request: Request, number: int) -> Response:
        """A new secret with the same power. The old one ends now, or after `overlap_seconds`."""
        token = lookups.token_for(self.actor, number)
        overlap = timedelta(seconds=self.given(shapes.Rotation)["overlap_seconds"])
        return self.made(services.rotate_token(actor=self.actor, token=token, overlap=overlap))


class RobotsView(HubView):
    queryset: QuerySet[User] = User.objects.none()
    throttle_classes = [ProbeThrottle]
    ordering_fields = ["username", "date_joined"]
    ordering = ["username"]

    @extend_schema(operation_id="robots_list", responses=shapes.RobotAnswer(many=True))
    def get(self, request: Request, organization: str) -> Response:
        """The robot accounts of an organization. For owners."""
        found = lookups.organization_for(self.actor, organization, Permission.TOKEN_READ)
        return self.listed(selectors.robots_of(self.actor, found), shapes.RobotAnswer)

    @extend_schema(operation_id="robots_create", request=shapes.NewRobot, responses={201: shapes.RobotAnswer})
    def post(self, request: Request, organization: str) -> Response:
        """Make an account for a program; give it grants like a person's, and tokens. For owners."""
        found = lookups.organization_for(self.actor, organization, Permission.TOKEN_CREATE)
        made = services.create_robot(actor=self.actor, organization=found, **self.given(shapes.NewRobot))
        return self.shown(made, shapes.RobotAnswer, 201)


class RobotView(HubView):
    @extend_schema(operation_id="robots_deactivate", responses={204: None})
    def delete(self, request: Request, organization: str, robot: str) -> Response:
        """Deactivate a robot account; all its tokens are revoked. For owners."""
        found = lookups.organization_for(self.actor, organization, Permission.TOKEN_REVOKE)
        services.deactivate_user(actor=self.actor, user=lookups.robot_of(self.actor, found, robot))
        return Response(status=204)


class RobotTokensView(_TokensAnswering):
    queryset: QuerySet[ApiToken] = ApiToken.objects.none()
    ordering_fields = ["id", "name", "created_at", "expires_at", "last_used_at"]
    ordering = ["-id"]

    @extend_schema(operation_id="robots_tokens_list", responses=shapes.TokenAnswer(many=True))
    def get(self, request: Request, organization: str, robot: str) -> Response:
        """The tokens of a robot account. For owners."""
        found = lookups.organization_for(self.actor, organization, Permission.TOKEN_READ)
        return self.tokens(selectors.tokens_of(self.actor, lookups.robot_of(self.actor, found, robot)))

    @extend_schema(operation_id="robots_tokens_create", request=shapes.NewTokenRequest, responses={201: shapes.NewTokenAnswer})
    def post(self, request: Request, organization: str, robot: str) -> Response:
        """Make a token for a robot account. Its secret is in this answer and nowhere else. For owners."""
        found = lookups.organization_for(self.actor, organization, Permission.TOKEN_CREATE)
        return self.create(lookups.robot_of(self.actor, found, robot))
