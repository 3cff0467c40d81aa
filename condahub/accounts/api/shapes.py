"""What the REST API of accounts takes and answers with."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from rest_framework import serializers

from condahub.accounts import places, quota
from condahub.accounts.models import ApiToken, Grant, Invitation, Organization, Team, TokenKind, TokenLimit, User, UserKind
from condahub.accounts.permissions import Level, Role
from condahub.accounts.selectors import Member
from condahub.api.fields import Answer, HubSerializer, Text, TrueOrFalse, WholeNumber

MAX_LIMITS = 200


class UserAnswer(Answer):
    username = serializers.CharField()
    display_name = serializers.CharField(source="shown_name")
    is_active = serializers.BooleanField()


class UserDetail(UserAnswer):
    """For the person itself and for staff."""

    kind = serializers.ChoiceField(UserKind.choices)
    email = serializers.CharField(allow_blank=True)
    is_staff = serializers.BooleanField()
    is_superuser = serializers.BooleanField()
    is_auditor = serializers.BooleanField()
    date_joined = serializers.DateTimeField()
    last_login = serializers.DateTimeField(allow_null=True)


class NewUser(HubSerializer):
    """Without a password the person signs in by other means."""

    username = Text(max_length=150)
    password = Text(required=False, max_length=1000, trim_whitespace=False, write_only=True)
    email = Text(required=False, allow_blank=True, max_length=254)
    display_name = Text(required=False, allow_blank=True, max_length=150)
    is_staff = TrueOrFalse(required=False)
    is_superuser = TrueOrFalse(required=False)
    is_auditor = TrueOrFalse(required=False)


class UserChanges(HubSerializer):
    """What is left out stays. Only administrators change the three powers."""

    email = Text(required=False, allow_blank=True, max_length=254)
    display_name = Text(required=False, allow_blank=True, max_length=150)
    password = Text(required=False, max_length=1000, trim_whitespace=False, write_only=True)
    is_active = TrueOrFalse(required=False)
    is_staff = TrueOrFalse(required=False)
    is_superuser = TrueOrFalse(required=False)
    is_auditor = TrueOrFalse(required=False)


class OrganizationAnswer(Answer):
    name = serializers.CharField()
    title = serializers.CharField(allow_blank=True)
    description = serializers.CharField(allow_blank=True)
    is_personal = serializers.BooleanField()
    quota_bytes = serializers.IntegerField(allow_null=True)
    created_at = serializers.DateTimeField()


class OrganizationDetail(OrganizationAnswer):
    used_bytes = serializers.SerializerMethodField(help_text="Logical bytes of all that it holds.")

    def get_used_bytes(self, organization: Organization) -> int:
        return quota.used_bytes(organization)


class NewOrganization(HubSerializer):
    name = Text(max_length=64)
    title = Text(required=False, allow_blank=True, max_length=200)
    description = Text(required=False, allow_blank=True, max_length=20_000)
    quota_bytes = WholeNumber(required=False, allow_null=True)
    owner = Text(required=False, max_length=150, help_text="A user name; who makes it unless said.")


class OrganizationChanges(HubSerializer):
    title = Text(required=False, allow_blank=True, max_length=200)
    description = Text(required=False, allow_blank=True, max_length=20_000)


class Quota(HubSerializer):
    quota_bytes = WholeNumber(allow_null=True, help_text="null lifts the limit.")


class MemberAnswer(Answer):
    username = serializers.CharField(source="user.username")
    display_name = serializers.CharField(source="user.shown_name")
    role = serializers.ChoiceField(Role.choices, help_text="The highest one.")
    why = serializers.SerializerMethodField(help_text="Every way by which it has a role.")

    def get_why(self, member: Member) -> list[str]:
        return list(member.why)


class Membership(HubSerializer):
    role = serializers.ChoiceField(Role.choices)


class DayQuery(serializers.Serializer[Any]):
    on = serializers.DateField(required=False, default=None, help_text="As it was at the end of that day, in UTC; now unless said.")


class PeopleAnswer(Answer):
    on = serializers.DateField(allow_null=True, help_text="The day that was asked for.")
    people = serializers.ListField(child=serializers.CharField(), help_text="User names.")


class HeldRoleAnswer(Answer):
    """One role. channel, package, environment: what it is on, null where it is on more; an empty name of what is gone since."""

    role = serializers.ChoiceField(Role.choices)
    level = serializers.CharField(help_text=f"What it is on: {', '.join(Level)}.")
    channel = serializers.CharField(allow_null=True, allow_blank=True)
    package = serializers.CharField(allow_null=True)
    environment = serializers.CharField(allow_null=True, allow_blank=True)
    team = serializers.CharField(allow_null=True, help_text="Through which it is held.")
    source = serializers.CharField(  # type: ignore[assignment] # a field of this name
        help_text="'manual', 'ldap', 'oidc:<provider>', or 'personal' for whose organization it is."
    )
    permissions = serializers.ListField(child=serializers.CharField())


class AccessAnswer(Answer):
    person = serializers.CharField()
    on = serializers.DateField(allow_null=True)
    is_active = serializers.BooleanField(help_text="False for who holds nothing there, and for an account that was deactivated.")
    roles = HeldRoleAnswer(many=True)


class InvitationAnswer(Answer):
    id = serializers.IntegerField()
    email = serializers.CharField()
    role = serializers.CharField(allow_blank=True)
    team = serializers.SerializerMethodField(help_text="Its slug, where a place in a team is offered.")
    invited_by = serializers.CharField(source="invited_by.username")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    sent_at = serializers.DateTimeField(allow_null=True)

    def get_team(self, invitation: Invitation) -> str:
        return invitation.team.slug if invitation.team is not None else ""


class NewInvitation(HubSerializer):
    """A role on the organization, or a team of it."""

    email = Text(max_length=254)
    role = serializers.ChoiceField(Role.choices, required=False)
    team = Text(required=False, max_length=64)


class TeamAnswer(Answer):
    slug = serializers.CharField()
    title = serializers.CharField(allow_blank=True)
    external_group = serializers.CharField(allow_blank=True, help_text="The directory's group that feeds it.")
    created_at = serializers.DateTimeField()


class TeamDetail(TeamAnswer):
    members = serializers.SerializerMethodField(help_text="User names.")

    def get_members(self, team: Team) -> list[str]:
        return list(team.group.user_set.order_by("username").values_list("username", flat=True))


class NewTeam(HubSerializer):
    slug = Text(max_length=64)
    title = Text(required=False, allow_blank=True, max_length=200)
    external_group = Text(required=False, allow_blank=True, max_length=500)


class TeamChanges(HubSerializer):
    title = Text(required=False, allow_blank=True, max_length=200)
    external_group = Text(required=False, allow_blank=True, max_length=500)


class GrantAnswer(Answer):
    """`names` in the context: of channels and environments by id."""

    id = serializers.IntegerField()
    role = serializers.ChoiceField(Role.choices)
    user = serializers.CharField(source="user.username", allow_null=True, default=None)
    team = serializers.CharField(source="team.slug", allow_null=True, default=None)
    channel = serializers.SerializerMethodField()
    package = serializers.CharField(source="package_name", allow_blank=True)
    environment = serializers.SerializerMethodField()
    source = serializers.CharField()  # type: ignore[assignment]
    created_at = serializers.DateTimeField()

    def get_channel(self, grant: Grant) -> str | None:
        return _name(self.context["names"].channels, grant.channel_id)

    def get_environment(self, grant: Grant) -> str | None:
        return _name(self.context["names"].environments, grant.environment_id)


class NewGrant(HubSerializer):
    """To one user or one team; on the organization unless a channel, a package name in it, or an environment is named."""

    role = serializers.ChoiceField(Role.choices)
    user = Text(required=False, max_length=150)
    team = Text(required=False, max_length=64)
    channel = Text(required=False, max_length=64)
    package = Text(required=False, max_length=128)
    environment = Text(required=False, max_length=200)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if ("user" in values) == ("team" in values):
            raise serializers.ValidationError("Name either a user or a team.")
        if "package" in values and "channel" not in values:
            raise serializers.ValidationError({"channel": ["A package is named with its channel."]})
        if "environment" in values and "channel" in values:
            raise serializers.ValidationError("Name either a channel or an environment.")
        return values


class RobotAnswer(Answer):
    name = serializers.SerializerMethodField()
    username = serializers.CharField()
    display_name = serializers.CharField(allow_blank=True)
    is_active = serializers.BooleanField()
    date_joined = serializers.DateTimeField()

    def get_name(self, robot: User) -> str:
        return robot.username.partition("+")[2]


class NewRobot(HubSerializer):
    name = Text(max_length=64)
    display_name = Text(required=False, allow_blank=True, max_length=150)


class TokenAnswer(Answer):
    """`names` in the context."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(TokenKind.choices)
    prefix = serializers.CharField(help_text="The first characters of the secret, to tell it from others.")
    owner = serializers.CharField(source="owner.username")
    scopes = serializers.ListField(child=serializers.CharField())
    is_limited = serializers.BooleanField(help_text="Whether it acts only in the places listed, which may be none any more.")
    organizations = serializers.SerializerMethodField()
    channels = serializers.SerializerMethodField()
    packages = serializers.SerializerMethodField(help_text="As channel/package.")
    is_live = serializers.BooleanField(help_text="Neither revoked nor past its expiry.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    last_used_from = serializers.CharField(allow_null=True)

    def get_organizations(self, token: ApiToken) -> list[str]:
        limits = [limit for limit in token.limits.all() if limit.channel_id is None]
        return _names(self.context["names"].organizations, [limit.organization_id for limit in limits])

    def get_channels(self, token: ApiToken) -> list[str]:
        limits = [limit for limit in token.limits.all() if limit.channel_id is not None and not limit.package_name]
        return _names(self.context["names"].channels, [limit.channel_id for limit in limits])

    def get_packages(self, token: ApiToken) -> list[str]:
        channels = self.context["names"].channels
        limits = [limit for limit in token.limits.all() if limit.package_name and limit.channel_id in channels]
        return sorted(f"{channels[limit.channel_id]}/{limit.package_name}" for limit in limits)


class NewTokenAnswer(TokenAnswer):
    secret = serializers.CharField(help_text="The token itself. It is shown this once and kept nowhere.")


class NewTokenRequest(HubSerializer):
    """Without places it acts wherever its owner may."""

    name = Text(max_length=200)
    scopes = serializers.ListField(child=Text(max_length=64), min_length=1, max_length=100, help_text="Permissions and names of bundles.")
    organizations = serializers.ListField(child=Text(max_length=64), required=False, default=list, max_length=MAX_LIMITS)
    channels = serializers.ListField(child=Text(max_length=64), required=False, default=list, max_length=MAX_LIMITS)
    packages = serializers.ListField(
        child=Text(max_length=193), required=False, default=list, max_length=MAX_LIMITS, help_text="As channel/package."
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class Rotation(HubSerializer):
    overlap_seconds = WholeNumber(
        required=False, default=0, max_value=90 * 24 * 3600, help_text="How long the old secret goes on working; it ends now unless said."
    )


class HeldAnswer(Answer):
    name = serializers.CharField()
    role = serializers.ChoiceField(Role.choices, allow_null=True, help_text="null: only on something in it.")


class TokenInUse(Answer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    expires_at = serializers.DateTimeField(allow_null=True)


class MeAnswer(Answer):
    username = serializers.CharField()
    display_name = serializers.CharField()
    is_staff = serializers.BooleanField()
    is_superuser = serializers.BooleanField()
    is_auditor = serializers.BooleanField()
    primary_organization = serializers.CharField(allow_null=True)
    organizations = HeldAnswer(many=True)
    token = TokenInUse(allow_null=True)


class PermissionsAnswer(Answer):
    permissions = serializers.ListField(child=serializers.CharField())
    roles = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))
    bundles = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))


class PlaceNames:
    """Names for the ids in a page of grants or tokens, read with one query a kind."""

    def __init__(self, rows: Iterable[Grant | TokenLimit]) -> None:
        rows = list(rows)
        self.channels = places.names_of(places.CHANNEL, [row.channel_id for row in rows])
        self.environments = places.names_of(places.ENVIRONMENT, [getattr(row, "environment_id", None) for row in rows])
        wanted = {row.organization_id for row in rows if isinstance(row, TokenLimit)}
        self.organizations = dict(Organization.objects.filter(pk__in=wanted).values_list("pk", "name")) if wanted else {}


def _name(names: dict[int, str], pk: int | None) -> str | None:
    return None if pk is None else names.get(pk, f"#{pk}")


def _names(names: dict[int, str], ids: Collection[int | None]) -> list[str]:
    return sorted(names[pk] for pk in ids if pk is not None and pk in names)
