"""REST views of oneself, of people, and of what can be allowed."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from condahub.accounts import selectors, services
from condahub.accounts.actors import HeldRole
from condahub.accounts.api import lookups, shapes
from condahub.accounts.api.filters import UserFilter
from condahub.accounts.models import User
from condahub.accounts.permissions import HUB, ROLE_PERMISSIONS, SCOPE_BUNDLES, Permission, Role
from condahub.accounts.policy import require
from condahub.api.permissions import Anybody
from condahub.api.probing import ProbeThrottle
from condahub.api.views import HubView
from condahub.errors import NotAuthenticated

_POWERS = ("is_staff", "is_superuser", "is_auditor")
_ROLES = list(Role.values)


class MeView(HubView):
    pagination_class = None

    @extend_schema(operation_id="me_retrieve", responses=shapes.MeAnswer)
    def get(self, request: Request) -> Response:
        """Who asks: the account, its organizations, and the token that was used."""
        user = self.actor.user
        if user is None:
            raise NotAuthenticated
        roles = self.actor.roles()
        organizations = selectors.visible_organizations(self.actor).filter(pk__in=roles).order_by("name")
        held = [{"name": one.name, "role": _role_on(roles[one.pk]), "personal": one.personal_of_id == user.pk} for one in organizations]
        personal = next((one["name"] for one in held if one["personal"]), None)
        return self.shown(
            {
                "username": user.get_username(),
                "display_name": user.shown_name,
                **{power: getattr(user, power) for power in _POWERS},
                "primary_organization": personal,
                "organizations": held,
                "token": self.actor.token,
            },
            shapes.MeAnswer,
        )


def _role_on(held: tuple[HeldRole, ...]) -> str | None:
    """The highest role on the organization itself."""
    whole = [row.role for row in held if row.channel_id is None and row.environment_id is None]
    return max(whole, key=_ROLES.index, default=None)


class PermissionsView(HubView):
    permission_classes = [Anybody]
    pagination_class = None

    @extend_schema(operation_id="permissions_retrieve", responses=shapes.PermissionsAnswer)
    def get(self, request: Request) -> Response:
        """Every permission there is, what each role holds, and the bundles that a token's scopes can name. For anybody."""
        return Response(
            {
                "permissions": [one.value for one in Permission],
                "roles": {role: sorted(one.value for one in held) for role, held in ROLE_PERMISSIONS.items()},
                "bundles": {name: sorted(scopes) for name, scopes in SCOPE_BUNDLES.items()},
            }
        )


class UsersView(HubView):
    queryset: QuerySet[User] = User.objects.none()
    throttle_classes = [ProbeThrottle]
    filterset_class = UserFilter
    ordering_fields = ["username", "date_joined", "last_login"]
    ordering = ["username"]

    @extend_schema(operation_id="users_list", responses=shapes.UserAnswer(many=True))
    def get(self, request: Request) -> Response:
        """The people that the asker may see: staff everybody, others those of the organizations whose members they may list."""
        return self.listed(selectors.visible_users(self.actor), shapes.UserAnswer)

    @extend_schema(operation_id="users_create", request=shapes.NewUser, responses={201: shapes.UserDetail})
    def post(self, request: Request) -> Response:
        """Make a person's account, with a personal organization where this hub has them. For staff."""
        require(self.actor, Permission.USER_MANAGE, HUB)
        return self.shown(services.create_user(actor=self.actor, **self.given(shapes.NewUser)), shapes.UserDetail, 201)


class UserView(HubView):
    @extend_schema(operation_id="users_retrieve", responses=shapes.UserDetail)
    def get(self, request: Request, username: str) -> Response:
        """One account: one's own, or anybody's for staff."""
        user = lookups.user_for(self.actor, username)
        if user.pk != self.actor.user_id:
            require(self.actor, Permission.USER_MANAGE, HUB)
        return self.shown(user, shapes.UserDetail)

    @extend_schema(operation_id="users_update", request=shapes.UserChanges, responses=shapes.UserDetail)
    def patch(self, request: Request, username: str) -> Response:
        """Change an account: names for the person itself, all but powers for staff, powers for administrators."""
        user = lookups.user_for(self.actor, username)
        if user.pk != self.actor.user_id:
            require(self.actor, Permission.USER_MANAGE, HUB)
        return self.shown(self.change(user, self.given(shapes.UserChanges)), shapes.UserDetail)

    def change(self, user: User, values: dict[str, Any]) -> User:
        names = {key: values[key] for key in ("display_name", "email") if key in values}
        powers = {key: values[key] for key in _POWERS if key in values}
        # All of the changes, or none.
        with transaction.atomic():
            if names:
                services.update_user(actor=self.actor, user=user, **names)
            if powers:
                services.promote_user(actor=self.actor, user=user, **powers)
            if "password" in values:
                services.set_password(actor=self.actor, user=user, password=values["password"])
            if values.get("is_active", user.is_active) != user.is_active:
                turn = services.reactivate_user if values["is_active"] else services.deactivate_user
                turn(actor=self.actor, user=user)
        return user

    @extend_schema(operation_id="users_deactivate", responses={204: None})
    def delete(self, request: Request, username: str) -> Response:
        """Deactivate an account: no sign-in, every token revoked. What it made stays. For staff."""
        require(self.actor, Permission.USER_MANAGE, HUB)
        services.deactivate_user(actor=self.actor, user=lookups.user_for(self.actor, username))
        return Response(status=204)
