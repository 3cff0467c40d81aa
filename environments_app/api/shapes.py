"""What the REST API of environments takes and answers with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from condahub.accounts.permissions import Visibility
from condahub.api.fields import Answer, HubSerializer, JsonObject, Text, TrueOrFalse
from environments_app import selectors
from environments_app.diffs import Change, Difference
from environments_app.models import ArtifactKind, ArtifactState, Build, BuildState, Environment, Phase, SpecificationKind
from environments_app.models.build import BuildPackage
from environments_app.services.environments import MAX_DESCRIPTION_CHARS
from environments_app.spec import MAX_LOCK_SPEC_BYTES

MAX_CHOSEN = 200


class ShortBuild(Answer):
    number = serializers.IntegerField()
    state = serializers.ChoiceField(BuildState.choices)
    size = serializers.IntegerField(help_text="Bytes.")
    package_count = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


class EnvironmentAnswer(Answer):
    """`current_build` is null too where it is made of a channel that the asker may not read."""

    organization = serializers.CharField(source="organization.name")
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    visibility = serializers.ChoiceField(Visibility.choices)
    current_build = ShortBuild(source="shown_current", allow_null=True)
    builds_count = serializers.IntegerField(help_text="Of the builds that the asker may see.")
    created_at = serializers.DateTimeField()
    created_by = serializers.SerializerMethodField(help_text="Told to those who are signed in.")
    archived_at = serializers.DateTimeField(allow_null=True)
    url = serializers.SerializerMethodField()

    def get_created_by(self, environment: Environment) -> str:
        return "" if self.context["view"].actor.is_anonymous else environment.created_by

    @extend_schema_field(OpenApiTypes.URI)
    def get_url(self, environment: Environment) -> str:
        return _url(environment.organization.name, environment.name)


# The columns that `environment_listed` reads.
LISTED = ("pk", "organization__name", "name", "description", "visibility", "current_build_id", "created_at", "created_by", "archived_at")


def environment_listed(row: Mapping[str, Any], build: Mapping[str, Any] | None, count: int, *, signed_in: bool) -> dict[str, Any]:
    """What EnvironmentAnswer says, of columns: a serializer takes most of the time of a page of a hundred."""
    return {
        "organization": row["organization__name"],
        "name": row["name"],
        "description": row["description"],
        "visibility": row["visibility"],
        "current_build": build,
        "builds_count": count,
        "created_at": row["created_at"],
        "created_by": row["created_by"] if signed_in else "",
        "archived_at": row["archived_at"],
        "url": _url(row["organization__name"], row["name"]),
    }


def _url(organization: str, name: str) -> str:
    return f"{settings.CONDAHUB_PUBLIC_URL}/api/hub/v1/organizations/{organization}/environments/{name}"


class NewEnvironment(HubSerializer):
    name = Text(max_length=64)
    description = Text(required=False, allow_blank=True, max_length=MAX_DESCRIPTION_CHARS)
    visibility = serializers.ChoiceField(Visibility.choices, required=False)


class EnvironmentChanges(HubSerializer):
    """Those left out stay as they are."""

    description = Text(required=False, allow_blank=True, max_length=MAX_DESCRIPTION_CHARS)
    visibility = serializers.ChoiceField(Visibility.choices, required=False)
    archived = TrueOrFalse(required=False)


class SpecificationText(HubSerializer):
    """The text as it stands in the file; its size is limited in bytes."""

    specification = Text(max_length=MAX_LOCK_SPEC_BYTES, trim_whitespace=False)


class ChosenSpecification(SpecificationText):
    """`update` and `keep` name conda packages of the current build."""

    exclude_newer = serializers.DateTimeField(required=False, help_text="Nothing that was made after this moment is chosen.")
    # The class has the method again when its fields are taken out of it.
    update = serializers.ListField(  # type: ignore[assignment]
        child=Text(max_length=128),
        required=False,
        max_length=MAX_CHOSEN,
        help_text="Chosen anew; all others stay at their versions where that goes.",
    )
    keep = serializers.ListField(child=Text(max_length=128), required=False, max_length=MAX_CHOSEN, help_text="These stay as they are.")


class NewBuild(ChosenSpecification):
    """What is built next."""


class SpecificationToCheck(SpecificationText):
    """With an organization, and an environment of it, their settings are held against it."""

    organization = Text(required=False, max_length=64)
    environment = Text(required=False, max_length=64)


class Question(ChosenSpecification):
    organization = Text(max_length=64, help_text="Whose settings and limits hold.")
    environment = Text(required=False, max_length=64)


class QuestionPackage(Answer):
    name = serializers.CharField()
    version = serializers.CharField()
    build = serializers.CharField()
    channel = serializers.CharField()
    subdir = serializers.CharField()
    size = serializers.IntegerField()
    requested = serializers.CharField(allow_blank=True, help_text="The line of the specification that asks for it.")


class QuestionAnswer(Answer):
    solves = serializers.BooleanField()
    seconds = serializers.DictField(child=serializers.FloatField(), help_text="By platform.")
    packages = serializers.DictField(child=QuestionPackage(many=True), help_text="By platform.")
    conflict = serializers.DictField(allow_null=True, help_text="The solver's tree, and the lines of the specification that it speaks of.")


class SpecificationProblem(Answer):
    line = serializers.IntegerField(help_text="From 1; 0 for the text as a whole.")
    code = serializers.CharField()
    detail = serializers.CharField()
    hint = serializers.CharField(allow_blank=True)


class SpecificationNote(Answer):
    line = serializers.IntegerField()
    text = serializers.CharField()


class CheckedSpecification(Answer):
    """`request` is what would be solved, with settings applied; null where there are problems."""

    valid = serializers.BooleanField()
    kind = serializers.ChoiceField(SpecificationKind.choices)
    name = serializers.CharField(allow_blank=True)
    problems = SpecificationProblem(many=True)
    notes = SpecificationNote(many=True)
    request = serializers.DictField(allow_null=True)


class BuildError(Answer):
    code = serializers.CharField()
    detail = serializers.CharField()
    more = serializers.DictField(help_text="The solver's tree, and the lines of the specification that it speaks of.")


class ArtifactAnswer(Answer):
    kind = serializers.ChoiceField(ArtifactKind.choices)
    platform = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(ArtifactState.choices)
    filename = serializers.CharField(allow_blank=True)
    size = serializers.IntegerField()
    sha256 = serializers.CharField(allow_blank=True)
    error = serializers.CharField(allow_blank=True)


class RanScriptAnswer(Answer):
    """message: what the script wants people to be told."""

    package = serializers.CharField()
    path = serializers.CharField()
    message = serializers.CharField(allow_blank=True)


class BuildAnswer(ShortBuild):
    phase = serializers.ChoiceField([("", "none"), *Phase.choices], allow_blank=True)
    author = serializers.SerializerMethodField(help_text="Told to those who are signed in.")
    channels = serializers.SerializerMethodField()
    platforms = serializers.SerializerMethodField()
    specification_sha256 = serializers.CharField(source="specification.sha256")
    lock_sha256 = serializers.CharField(source="lock.sha256", default=None, allow_null=True)
    timings = serializers.DictField(child=serializers.FloatField(), help_text="Seconds by phase.")
    error = serializers.SerializerMethodField(help_text="null unless it failed.")
    link_scripts = serializers.ListField(
        child=serializers.CharField(), help_text="Scripts that packages bring for installing; they did not run."
    )
    ran_scripts = RanScriptAnswer(many=True, help_text="Those that ran in a sandbox, in order; what they wrote is part of the environment.")
    scripts_sha256 = serializers.CharField(allow_blank=True, help_text="Of what they wrote together.")
    pinned = serializers.BooleanField()
    job = serializers.IntegerField(source="job_id", allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    archived_at = serializers.DateTimeField(allow_null=True)
    artifacts = ArtifactAnswer(many=True)

    def get_author(self, build: Build) -> str:
        return "" if self.context["view"].actor.is_anonymous else build.author

    def get_channels(self, build: Build) -> list[str]:
        return [row.name for row in build.made_of.all()]

    def get_platforms(self, build: Build) -> list[str]:
        return list(build.request.get("platforms", []))

    @extend_schema_field(BuildError(allow_null=True))
    def get_error(self, build: Build) -> dict[str, Any] | None:
        if not build.error_code:
            return None
        more = selectors.told_of_failure(self.context["view"].actor, build)
        return {"code": build.error_code, "detail": build.error_sentence, "more": more}


class BuildDetail(BuildAnswer):
    specification = serializers.CharField(source="specification.text", help_text="As it was given.")
    request = serializers.DictField(help_text="What was solved, with settings applied.")


class BuildChanges(HubSerializer):
    pinned = TrueOrFalse()


class BuildPackageAnswer(Answer):
    kind = serializers.ChoiceField(BuildPackage.Kind.choices)
    platform = serializers.CharField()
    name = serializers.CharField()
    version = serializers.CharField()
    build = serializers.CharField(source="build_string", allow_blank=True)
    channel = serializers.CharField(allow_blank=True)
    subdir = serializers.CharField(allow_blank=True)
    filename = serializers.CharField()
    size = serializers.IntegerField()
    sha256 = serializers.CharField()
    license = serializers.CharField(allow_blank=True)
    requested = serializers.CharField(allow_blank=True, help_text="The line of the specification that asked for it.")


class HoldingAnswer(Answer):
    """One package in one build of one environment."""

    organization = serializers.CharField(source="build.environment.organization.name")
    environment = serializers.CharField(source="build.environment.name")
    number = serializers.IntegerField(source="build.number")
    platform = serializers.CharField()
    name = serializers.CharField()
    version = serializers.CharField()
    build = serializers.CharField(source="build_string", allow_blank=True)
    channel = serializers.CharField(allow_blank=True)


class HoldingQuery(serializers.Serializer[Any]):
    package = serializers.CharField(max_length=500, help_text="A MatchSpec of one name, such as 'openssl <3.0.8'.")
    all_builds = serializers.BooleanField(required=False, default=False, help_text="Not only the current ones.")


class BuildDiffQuery(serializers.Serializer[Any]):
    """`from` is no name in Python."""

    before = serializers.IntegerField(min_value=1, max_value=2**31 - 1, help_text="The number of the earlier build.")
    after = serializers.IntegerField(min_value=1, max_value=2**31 - 1, help_text="The number of the later build.")


class BuildDifference(Answer):
    change = serializers.ChoiceField([(one.value, one.value) for one in Change])
    platform = serializers.CharField()
    kind = serializers.ChoiceField(BuildPackage.Kind.choices)
    name = serializers.CharField()
    before = serializers.SerializerMethodField(help_text="Version and build, null where it was not there.")
    after = serializers.SerializerMethodField(help_text="Version and build, null where it is gone.")
    size_change = serializers.IntegerField(help_text="Bytes that the later one holds more.")
    requested = serializers.SerializerMethodField(help_text="The line of the later specification that asked for it, else of the earlier.")

    def get_before(self, row: Difference) -> str | None:
        return None if row.before is None else f"{row.before.version} {row.before.build_string}".strip()

    def get_after(self, row: Difference) -> str | None:
        return None if row.after is None else f"{row.after.version} {row.after.build_string}".strip()

    def get_requested(self, row: Difference) -> str:
        packages = [package for package in (row.after, row.before) if package is not None]
        return next((package.requested for package in packages if package.requested), "")


class BuildDiffAnswer(Answer):
    before = serializers.IntegerField()
    after = serializers.IntegerField()
    changes = BuildDifference(many=True)


class EnvironmentSettingsChanges(HubSerializer):
    """What is left out stays as it is; null takes a setting of this level away. The names: docs/environments.md."""

    values = JsonObject()


class EnvironmentSettingsAnswer(Answer):
    values = serializers.DictField(help_text="What is set at this level.")
    merged = serializers.DictField(help_text="What holds here, with the levels above.")


class ActivatedAnswer(Answer):
    current = serializers.IntegerField(source="current_build.number")
