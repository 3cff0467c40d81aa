"""What the REST API of policies, waivers, advisories and requests takes and answers with."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from channels_app.models import Effect, Missing, PolicyLevel, RequestState, Severity
from channels_app.policies.rules import RULE_NAMES
from condahub.api.fields import Answer, HubSerializer, JsonObject, Text

MAX_ECOSYSTEMS = 20
MAX_ENTRIES = 10_000
RULES_HELP = f"An object of {', '.join(RULE_NAMES)}; docs/policies.md shows each."


class PolicyAnswer(Answer):
    level = serializers.ChoiceField(PolicyLevel.choices)
    rules = serializers.DictField(help_text=RULES_HELP)
    changed_at = serializers.DateTimeField(allow_null=True)
    changed_by = serializers.CharField(allow_blank=True)


class ChannelPolicyAnswer(Answer):
    policy_state = serializers.ChoiceField([("applying", "applying"), ("current", "current")])
    policies = PolicyAnswer(many=True, help_text="Those that act here, the widest level first.")


class PolicyBody(HubSerializer):
    rules = JsonObject(help_text=RULES_HELP)


class PreviewAnswer(Answer):
    examined = serializers.IntegerField(help_text="Live files that were looked at.")
    complete = serializers.BooleanField(help_text="False where there are more files than are looked at in the time.")
    hidden_now = serializers.IntegerField()
    would_hold = serializers.IntegerField()
    would_deny = serializers.IntegerField()
    newly_hidden = serializers.IntegerField()
    newly_shown = serializers.IntegerField()
    by_rule = serializers.DictField(child=serializers.IntegerField(), help_text="The newly hidden, by the rule that counts.")
    samples = serializers.ListField(child=serializers.DictField(child=serializers.CharField()), help_text="Some of the newly hidden.")


class AdvisoryBrief(Answer):
    id = serializers.CharField(source="osv_id")
    severity = serializers.ChoiceField(Severity.choices)
    aliases = serializers.ListField(child=serializers.CharField())
    summary = serializers.CharField(allow_blank=True)


class AdvisoryAnswer(AdvisoryBrief):
    package = serializers.CharField(source="name")
    ecosystem = serializers.CharField(allow_blank=True)
    versions = serializers.ListField(child=serializers.CharField(), help_text="Affected ones.")
    ranges = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField(allow_null=True)), help_text="introduced, fixed, last affected"
    )
    modified_at = serializers.DateTimeField(allow_null=True)
    loaded_at = serializers.DateTimeField()


class AdvisoriesBody(HubSerializer):
    entries = serializers.ListField(child=JsonObject(), min_length=1, max_length=MAX_ENTRIES, help_text="In OSV's format.")
    ecosystems = serializers.ListField(
        child=Text(max_length=60), required=False, max_length=MAX_ECOSYSTEMS, help_text="conda and PyPI unless said."
    )


class LoadedAnswer(Answer):
    entries = serializers.IntegerField()
    advisories = serializers.IntegerField(help_text="One for each name that an entry speaks of.")
    withdrawn = serializers.IntegerField()
    skipped = serializers.IntegerField(help_text="Entries that speak of no package of these ecosystems.")


class ClosureAnswer(Answer):
    packages = serializers.IntegerField()
    bytes = serializers.IntegerField()
    hidden = serializers.IntegerField(help_text="How many of them policy hides.")
    missing = serializers.ListField(child=serializers.CharField(), help_text="Needs that nothing in the channel fits.")
    complete = serializers.BooleanField()


class HiddenAnswer(Answer):
    subdir = serializers.CharField(source="file.subdir")
    filename = serializers.CharField(source="file.filename")
    name = serializers.CharField(source="file.name")
    version = serializers.CharField(source="file.version")
    build = serializers.CharField(source="file.build")
    sha256 = serializers.CharField(source="file.sha256")
    size = serializers.IntegerField(source="file.size")
    license = serializers.CharField(allow_blank=True)
    effect = serializers.ChoiceField(Effect.choices, source="file.verdict")
    reason = serializers.CharField(source="file.verdict_reason", allow_blank=True)
    changes_at = serializers.DateTimeField(source="file.verdict_changes_at", allow_null=True, help_text="When it may be shown by itself.")
    rule = serializers.CharField(allow_blank=True)
    level = serializers.CharField(allow_blank=True)
    first_seen_at = serializers.DateTimeField(source="file.first_sight")
    advisories = AdvisoryBrief(many=True)
    closure = ClosureAnswer()


class WaiverAnswer(Answer):
    id = serializers.IntegerField()
    level = serializers.ChoiceField(PolicyLevel.choices)
    organization = serializers.CharField(source="organization.name", allow_null=True, default=None)
    channel = serializers.CharField(source="channel.name", allow_null=True, default=None)
    what = serializers.CharField()
    rule = serializers.CharField(allow_blank=True)
    advisory = serializers.CharField(allow_blank=True)
    reason = serializers.CharField()
    expires_at = serializers.DateTimeField()
    granted_by = serializers.CharField()
    granted_at = serializers.DateTimeField()


class NewWaiver(HubSerializer):
    """At the level installation or organization, a channel narrows it to that one."""

    level = serializers.ChoiceField(PolicyLevel.choices)
    organization = Text(required=False, max_length=64)
    channel = Text(required=False, max_length=64)
    what = Text(max_length=300, help_text="A sha256, or a MatchSpec of name, version and build.")
    rule = serializers.ChoiceField([(name, name) for name in RULE_NAMES], required=False, help_text="All rules of the level unless given.")
    advisory = Text(required=False, max_length=100, help_text="Of the rule on advisories only this one.")
    reason = Text(max_length=500)
    expires_at = serializers.DateTimeField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        needed = {PolicyLevel.ORGANIZATION: "organization", PolicyLevel.CHANNEL: "channel"}.get(attrs["level"])
        if needed is not None and needed not in attrs:
            raise serializers.ValidationError({needed: ["It is needed at this level."]})
        return attrs


class ReleaseBody(HubSerializer):
    what = Text(max_length=300, help_text="A sha256, or a MatchSpec of name, version and build.")
    reason = Text(max_length=500)
    expires_at = serializers.DateTimeField()


class RequestAnswer(Answer):
    id = serializers.IntegerField()
    channel = serializers.CharField(source="channel.name")
    spec = serializers.CharField()
    missing = serializers.ChoiceField(Missing.choices)
    asked_by = serializers.CharField()
    asked_at = serializers.DateTimeField()
    reason = serializers.CharField()
    state = serializers.ChoiceField(RequestState.choices)
    answer = serializers.CharField(allow_blank=True)
    answered_by = serializers.CharField(allow_blank=True)
    answered_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    resume = serializers.CharField(allow_blank=True)


class NewRequest(HubSerializer):
    spec = Text(max_length=300, help_text="A MatchSpec of name, version and build, or a sha256.")
    reason = Text(max_length=1000)
    missing = serializers.ChoiceField(Missing.choices, required=False, help_text="Why it is not there, where the asker knows.")
    resume = Text(required=False, max_length=200, help_text="What waits for the answer, such as build:17.")


class Approval(HubSerializer):
    expires_at = serializers.DateTimeField()
    answer = Text(required=False, allow_blank=True, max_length=500)


class Refusal(HubSerializer):
    answer = Text(max_length=500, help_text="The sentence that the asker is told.")
