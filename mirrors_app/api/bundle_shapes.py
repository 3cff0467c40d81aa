"""What the REST API takes and answers of bundles and their keys."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from condahub.api.fields import Answer, HubSerializer, Text, TrueOrFalse, WholeNumber
from mirrors_app.bundles.core.keys import fingerprint
from mirrors_app.bundles.core.layout import MAX_PART_BYTES, MIN_PART_BYTES
from mirrors_app.bundles.core.manifest import MANIFEST_NAME, SIGNATURE_NAME
from mirrors_app.bundles.planning import INCLUDABLE
from mirrors_app.models import BundleExport, BundleImport, ExportState, ImportState

MAX_PEM_CHARS = 2000


class NewExport(HubSerializer):
    revision = WholeNumber(required=False, help_text="The head unless said.")
    since = WholeNumber(required=False, help_text="A revision that an earlier bundle brought: only what changed is carried.")
    environment = Text(required=False, max_length=200, help_text="<organization>/<name>: the environment, with its packages.")
    part_bytes = WholeNumber(required=False, min_value=MIN_PART_BYTES, max_value=MAX_PART_BYTES, help_text="No part is larger.")
    include = serializers.ListField(child=serializers.ChoiceField(choices=INCLUDABLE), required=False, max_length=len(INCLUDABLE))


class FileAnswer(Answer):
    name = serializers.CharField()
    size = serializers.IntegerField()
    sha256 = serializers.CharField()


class CountsAnswer(Answer):
    put = serializers.IntegerField(required=False)
    take = serializers.IntegerField(required=False)
    packages = serializers.IntegerField(required=False)
    bytes = serializers.IntegerField(required=False)
    left_out = serializers.IntegerField(required=False)


class ErrorAnswer(Answer):
    code = serializers.CharField()
    detail = serializers.CharField()


class ExportAnswer(Answer):
    id = serializers.IntegerField()
    channel = serializers.CharField(source="channel.name")
    environment = serializers.CharField()
    state = serializers.ChoiceField(choices=ExportState.choices)
    sequence = serializers.IntegerField()
    revision = serializers.IntegerField()
    since = serializers.IntegerField(source="base_revision", help_text="0: all of it.")
    include = serializers.ListField(child=serializers.CharField())
    part_bytes = serializers.IntegerField()
    counts = CountsAnswer()
    left_out = serializers.ListField(child=serializers.ListField(child=serializers.CharField()))
    size = serializers.IntegerField()
    files = serializers.SerializerMethodField()
    job = serializers.IntegerField(source="job_id", allow_null=True)
    error = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField()
    ready_at = serializers.DateTimeField(allow_null=True)

    def get_files(self, export: BundleExport) -> list[dict[str, Any]]:
        """manifest.sig and manifest.json once it is signed, and the parts that are written."""
        found: list[dict[str, Any]] = []
        if export.state == ExportState.READY:
            found = [
                {"name": SIGNATURE_NAME, "size": len(export.signature) // 2, "sha256": ""},
                {"name": MANIFEST_NAME, "size": export.manifest_size, "sha256": export.manifest_sha256},
            ]
        return [*found, *({"name": f"part-{one.number:04d}.tar", "size": one.size, "sha256": one.sha256} for one in export.parts.all())]

    def get_error(self, export: BundleExport) -> dict[str, str] | None:
        return _error(export)


class NewImport(HubSerializer):
    folder = Text(required=False, max_length=1000, help_text="A folder of the hub's machine below one that IT has listed.")
    policies = serializers.ChoiceField(choices=["propose", "apply"], required=False)
    advisories = TrueOrFalse(required=False, help_text="Load the OSV entries; for staff, whose default it is.")


class ImportAnswer(Answer):
    id = serializers.IntegerField()
    channel = serializers.CharField(source="channel.name")
    state = serializers.ChoiceField(choices=ImportState.choices)
    source_name = serializers.CharField()
    source_revision = serializers.IntegerField()
    sequence = serializers.IntegerField()
    signer = serializers.CharField()
    size = serializers.IntegerField()
    missing = serializers.SerializerMethodField()
    result = serializers.JSONField()
    revision = serializers.IntegerField(allow_null=True)
    job = serializers.IntegerField(source="job_id", allow_null=True)
    error = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField()
    ended_at = serializers.DateTimeField(allow_null=True)

    def get_missing(self, taken: BundleImport) -> list[str]:
        """Which files must still come, in order."""
        found: list[str] = self.context["missing"](taken)
        return found

    def get_error(self, taken: BundleImport) -> dict[str, str] | None:
        return _error(taken)


def _error(row: BundleExport | BundleImport) -> dict[str, str] | None:
    return {"code": row.error_code, "detail": row.error_sentence} if row.error_code else None


class NewKey(HubSerializer):
    name = Text(max_length=100)


class FirstKey(NewKey):
    afresh = TrueOrFalse(required=False, help_text="Also where one signs: the new key is vouched for by no other.")


class NewTrust(HubSerializer):
    name = Text(max_length=100)
    public = Text(max_length=MAX_PEM_CHARS, help_text="64 hex digits, or PEM.")


class Follow(HubSerializer):
    rotations = serializers.ListField(child=serializers.JSONField(), min_length=1, max_length=100)


class KeyAnswer(Answer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    public = serializers.CharField()
    fingerprint = serializers.SerializerMethodField()
    revoked_at = serializers.DateTimeField(allow_null=True)

    def get_fingerprint(self, key: Any) -> str:
        return fingerprint(key.public)


class SigningKeyAnswer(KeyAnswer):
    signs = serializers.BooleanField()
    rotation = serializers.JSONField()
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField()


class TrustedKeyAnswer(KeyAnswer):
    added_at = serializers.DateTimeField()
    added_by = serializers.CharField()
    follows = serializers.CharField(source="follows.public", default=None, allow_null=True)
