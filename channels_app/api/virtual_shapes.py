"""What the REST API of virtual channels takes and answers with."""

from __future__ import annotations

from rest_framework import serializers

from channels_app.models import ReservedName
from channels_app.services.virtual import KEEP, MAX_MEMBERS, MAX_RESERVATIONS_AT_ONCE, RELEASE
from condahub.api.fields import Answer, HubSerializer, Text, TrueOrFalse

NAMES_HELP = (
    f"What becomes of names that a removed member owns: `{KEEP}` (nobody shows them) or `{RELEASE}` (whoever holds one next has it)."
)


class UnionMemberAnswer(Answer):
    name = serializers.CharField(allow_null=True, help_text="Null where the asker may not know the channel.")
    visibility = serializers.CharField(allow_null=True)
    revision = serializers.IntegerField(allow_null=True)
    is_deleted = serializers.BooleanField(help_text="It shows nothing, and its names stay its.")
    shared = serializers.BooleanField(help_text="Whether every reader of the virtual channel is given its packages.")
    shared_by = serializers.CharField(allow_blank=True)


class UnionAnswer(Answer):
    channel = serializers.CharField()
    revision = serializers.IntegerField()
    state = serializers.ChoiceField([("following", "following"), ("current", "current")])
    members = UnionMemberAnswer(many=True, help_text="The highest first.")
    merged = serializers.ListField(child=serializers.CharField(), help_text="Names shown of all members that hold them.")


class MembersBody(HubSerializer):
    members = serializers.ListField(child=Text(max_length=64), max_length=MAX_MEMBERS, help_text="Channels, the highest first.")
    names_of_removed = serializers.ChoiceField([(KEEP, KEEP), (RELEASE, RELEASE)], required=False, help_text=NAMES_HELP)


class NameAnswer(Answer):
    name = serializers.CharField()
    owner = serializers.CharField(allow_null=True, help_text="The member that the name belongs to.")
    why = serializers.CharField()
    members = serializers.ListField(child=serializers.CharField(allow_null=True), help_text="Those whose files are shown.")
    merged = serializers.BooleanField()
    shown = serializers.BooleanField(help_text="Whether the index shows anything of it.")


class NameBody(HubSerializer):
    merged = TrueOrFalse(help_text="Show the files of all members that hold the name, or of its owner alone.")
    reason = Text(required=False, allow_blank=True, max_length=200)


class ConflictAnswer(Answer):
    name = serializers.CharField()
    members = serializers.IntegerField(help_text="How many members hold it.")


class ReservationAnswer(Answer):
    pattern = serializers.CharField()
    member = serializers.SerializerMethodField(help_text="Null: kept from all members.")
    reason = serializers.CharField(allow_blank=True)
    created_by = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()

    def get_member(self, row: ReservedName) -> str | None:
        return row.member.name if row.member else None


class ReservationsBody(HubSerializer):
    names = serializers.ListField(
        child=Text(max_length=128),
        min_length=1,
        max_length=MAX_RESERVATIONS_AT_ONCE,
        help_text="Package names; * stands for any characters.",
    )
    member = Text(required=False, allow_blank=True, max_length=64, help_text="Whose they are to be; left out: nobody's.")
    reason = Text(required=False, allow_blank=True, max_length=200)


class ReleaseNamesBody(HubSerializer):
    names = serializers.ListField(child=Text(max_length=128), min_length=1, max_length=MAX_RESERVATIONS_AT_ONCE)


class ShownInAnswer(Answer):
    virtual = serializers.CharField()
    shared = serializers.BooleanField()
    shared_by = serializers.CharField(allow_blank=True)
    shared_at = serializers.DateTimeField(allow_null=True)
