"""What the REST API takes and answers with about roles on environments, their retention, and when they are rebuilt."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from condahub.accounts.models import Grant
from condahub.accounts.permissions import Role
from condahub.api.fields import Answer, HubSerializer, Text, TrueOrFalse
from environments_app.models import Outcome, Rebuild
from environments_app.services import retention
from environments_app.services.retention import Going


class EnvironmentGrant(Answer):
    """A role on exactly this environment; who holds one on the organization is not among them."""

    id = serializers.IntegerField()
    role = serializers.ChoiceField(Role.choices)
    user = serializers.CharField(source="user.username", allow_null=True, default=None)
    team = serializers.CharField(source="team.slug", allow_null=True, default=None)
    organization = serializers.SerializerMethodField(help_text="Whose team it is; null for a user.")
    created_at = serializers.DateTimeField()

    def get_organization(self, grant: Grant) -> str | None:
        return None if grant.team is None else grant.team.organization.name


class NewEnvironmentGrant(HubSerializer):
    """To one user or one team, in place of the role it holds there."""

    role = serializers.ChoiceField(Role.choices)
    user = Text(required=False, max_length=150)
    team = Text(required=False, max_length=64)
    organization = Text(required=False, max_length=64, help_text="Whose team it is; this organization's own unless named.")

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if ("user" in values) == ("team" in values):
            raise serializers.ValidationError("Name either a user or a team.")
        if "organization" in values and "team" not in values:
            raise serializers.ValidationError({"team": ["An organization is named with its team."]})
        return values


class RetentionRequest(HubSerializer):
    dry_run = TrueOrFalse(required=False, default=True, help_text="Only say what would go.")


class GoingBuild(Answer):
    environment = serializers.CharField(source="build.environment.name")
    number = serializers.IntegerField(source="build.number")
    action = serializers.ChoiceField([retention.ARCHIVE, retention.DELETE])
    reason = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes of its folder, which other builds may share.")


class RetentionAnswer(Answer):
    """What went, or would go."""

    dry_run = serializers.BooleanField()
    builds = GoingBuild(many=True)
    bytes = serializers.SerializerMethodField()

    def get_bytes(self, row: dict[str, Any]) -> int:
        rows: list[Going] = row["builds"]
        return sum(one.size for one in rows)


class ScheduleAnswer(Answer):
    """When the hub looks whether the environment would come out newer, and what came of the last look."""

    mode = serializers.ChoiceField(Rebuild.choices)
    cron = serializers.CharField(allow_blank=True)
    time_zone = serializers.CharField()
    next_run_at = serializers.DateTimeField(allow_null=True)
    looked_at = serializers.DateTimeField(allow_null=True)
    outcome = serializers.ChoiceField(Outcome.choices, allow_blank=True)
    said = serializers.CharField(allow_blank=True)


class RefreshAnswer(Answer):
    job = serializers.IntegerField(source="pk")


class AffectedQuery(serializers.Serializer[Any]):
    advisory = serializers.CharField(max_length=100, help_text="The id of a loaded advisory, or an alias such as its CVE number.")
    all_builds = serializers.BooleanField(required=False, default=False, help_text="Not only the current ones.")
