"""REST views of policies, their previews, what they hide, waivers and advisories."""

from __future__ import annotations

from typing import Any

import django_filters
import msgspec
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from channels_app import selectors, showing
from channels_app.api import policy_shapes as shapes
from channels_app.models import Advisory, Effect, PackageFile, PolicyLevel, Severity, Waiver
from channels_app.policies import osv
from channels_app.policies.patterns import key_of
from channels_app.services import policies
from channels_app.services.scopes import Scope
from condahub.accounts.permissions import HUB, Permission
from condahub.accounts.policy import require
from condahub.api.parsers import InstructionsParser
from condahub.api.views import HubView
from condahub.errors import Unprocessable


class _OfScope(HubView):
    pagination_class = None

    def scope(self, names: dict[str, str], permission: Permission | None) -> Scope:
        """What the path names. permission: what changing it takes on a channel; None for reading."""
        if "channel" in names:
            wanted = permission or Permission.CHANNEL_READ
            return Scope.of_channel(selectors.channel_for(self.actor, names["channel"], wanted))
        if "organization" in names:
            needed = Permission.ORGANIZATION_READ if permission is None else Permission.ORGANIZATION_POLICY
            return Scope.of_organization(showing.organization_for(self.actor, names["organization"], needed))
        if permission is not None:
            require(self.actor, Permission.HUB_OPERATE, HUB)
        return Scope.of_installation()

    def put_policy(self, **names: str) -> Response:
        scope = self.scope(names, Permission.POLICY_UPDATE)
        policies.set_policy(actor=self.actor, scope=scope, rules=self.given(shapes.PolicyBody)["rules"])
        return self.shown(showing.policy_of(scope), shapes.PolicyAnswer)

    def previewed(self, **names: str) -> Response:
        scope = self.scope(names, Permission.POLICY_UPDATE)
        return self.shown(
            showing.preview(actor=self.actor, scope=scope, rules=self.given(shapes.PolicyBody)["rules"]), shapes.PreviewAnswer
        )


class HubPolicyView(_OfScope):
    @extend_schema(operation_id="policies_retrieve", responses=shapes.PolicyAnswer)
    def get(self, request: Request) -> Response:
        """The rules of this installation, which act on every channel. For everybody signed in."""
        return self.shown(showing.policy_of(self.scope({}, None)), shapes.PolicyAnswer)

    @extend_schema(operation_id="policies_update", request=shapes.PolicyBody, responses=shapes.PolicyAnswer)
    def put(self, request: Request) -> Response:
        """Put other rules in place of all that there are; none at all ends the policy. For staff."""
        return self.put_policy()


class HubPreviewView(_OfScope):
    @extend_schema(operation_id="policies_preview", request=shapes.PolicyBody, responses=shapes.PreviewAnswer)
    def post(self, request: Request) -> Response:
        """What these rules would hide if they were saved. For staff."""
        return self.previewed()


class OrganizationPolicyView(_OfScope):
    @extend_schema(operation_id="organizations_policy_retrieve", responses=shapes.PolicyAnswer)
    def get(self, request: Request, organization: str) -> Response:
        """The rules of an organization, which act on all its channels."""
        return self.shown(showing.policy_of(self.scope({"organization": organization}, None)), shapes.PolicyAnswer)

    @extend_schema(operation_id="organizations_policy_update", request=shapes.PolicyBody, responses=shapes.PolicyAnswer)
    def put(self, request: Request, organization: str) -> Response:
        """Put other rules in place of all that there are; none at all ends the policy. For owners."""
        return self.put_policy(organization=organization)


class OrganizationPreviewView(_OfScope):
    @extend_schema(operation_id="organizations_policy_preview", request=shapes.PolicyBody, responses=shapes.PreviewAnswer)
    def post(self, request: Request, organization: str) -> Response:
        """What these rules would hide if they were saved."""
        return self.previewed(organization=organization)


class ChannelPolicyView(_OfScope):
    @extend_schema(operation_id="channels_policy_retrieve", responses=shapes.ChannelPolicyAnswer)
    def get(self, request: Request, channel: str) -> Response:
        """The rules that act on a channel, and whether its index shows the last edit already."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        answer = {"policy_state": found.policy_state, "policies": showing.policies_on(self.actor, found)}
        return self.shown(answer, shapes.ChannelPolicyAnswer)

    @extend_schema(operation_id="channels_policy_update", request=shapes.PolicyBody, responses=shapes.PolicyAnswer)
    def put(self, request: Request, channel: str) -> Response:
        """Put other rules in place of the channel's own; they only ever tighten what the wider levels say."""
        return self.put_policy(channel=channel)


class ChannelPreviewView(_OfScope):
    @extend_schema(operation_id="channels_policy_preview", request=shapes.PolicyBody, responses=shapes.PreviewAnswer)
    def post(self, request: Request, channel: str) -> Response:
        """What these rules would hide if they were saved."""
        return self.previewed(channel=channel)


class HiddenFilter(django_filters.FilterSet):  # type: ignore[misc]
    effect = django_filters.ChoiceFilter(
        field_name="verdict", choices=[(Effect.HOLD, "hold"), (Effect.DENY, "deny")], label="What was said."
    )
    name = django_filters.CharFilter(label="The package's name.")
    subdir = django_filters.CharFilter(label="The platform, such as linux-64.")


class HiddenView(HubView):
    queryset: QuerySet[PackageFile] = PackageFile.objects.none()
    filterset_class = HiddenFilter
    ordering_fields = ["filename", "name", "size", "subdir"]
    ordering = ["name", "subdir", "filename", "id"]

    @extend_schema(operation_id="channels_hidden_list", responses=shapes.HiddenAnswer(many=True))
    def get(self, request: Request, channel: str) -> Response:
        """What policy hides of a channel, why, and what it would bring with it. For everybody signed in who may read the channel."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        page: Any = self.paginate_queryset(self.filter_queryset(showing.hidden_in(found)))
        return self.get_paginated_response(shapes.HiddenAnswer(showing.explained(found, page), many=True).data)


class ReleaseView(HubView):
    pagination_class = None
    filter_backends = []

    @extend_schema(operation_id="channels_hidden_release", request=shapes.ReleaseBody, responses={201: shapes.WaiverAnswer(many=True)})
    def post(self, request: Request, channel: str) -> Response:
        """Show what policy hides in this channel until a time: a waiver of each rule that keeps it back, for the rules' keepers."""
        found = selectors.channel_for(self.actor, channel, Permission.POLICY_WAIVE)
        made = policies.release(actor=self.actor, channel=found, **self.given(shapes.ReleaseBody))
        return Response(shapes.WaiverAnswer(made, many=True).data, status=201)


class WaiverFilter(django_filters.FilterSet):  # type: ignore[misc]
    level = django_filters.ChoiceFilter(choices=PolicyLevel.choices, label="Whose rule it excepts from.")
    channel = django_filters.CharFilter(field_name="channel__name", label="Where it acts.")


class WaiversView(HubView):
    queryset: QuerySet[Waiver] = Waiver.objects.none()
    filterset_class = WaiverFilter
    ordering_fields = ["expires_at", "id"]
    ordering = ["-id"]

    @extend_schema(operation_id="waivers_list", responses=shapes.WaiverAnswer(many=True))
    def get(self, request: Request) -> Response:
        """Waivers that act on what the asker may read, those that have run out too."""
        return self.listed(showing.waivers_seen_by(self.actor), shapes.WaiverAnswer)

    @extend_schema(operation_id="waivers_create", request=shapes.NewWaiver, responses={201: shapes.WaiverAnswer})
    def post(self, request: Request) -> Response:
        """Except packages from the rules of one level for a while. For that level's keeper."""
        values = self.given(shapes.NewWaiver)
        level, organization, channel = values.pop("level"), values.pop("organization", ""), values.pop("channel", "")
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ) if channel else None
        if level == PolicyLevel.CHANNEL and found is not None:
            scope, found = Scope.of_channel(found), None
        elif level == PolicyLevel.ORGANIZATION:
            scope = Scope.of_organization(showing.organization_for(self.actor, organization, Permission.ORGANIZATION_POLICY))
        else:
            scope = Scope.of_installation()
        made = policies.waive(actor=self.actor, scope=scope, only_in=found, **values)
        return self.shown(made, shapes.WaiverAnswer, 201)


class WaiverView(HubView):
    @extend_schema(operation_id="waivers_delete", responses={204: None})
    def delete(self, request: Request, waiver: int) -> Response:
        """End a waiver now. For the keeper of its level."""
        policies.revoke_waiver(actor=self.actor, waiver=showing.waiver_for(self.actor, waiver))
        return Response(status=204)


class AdvisoryFilter(django_filters.FilterSet):  # type: ignore[misc]
    package = django_filters.CharFilter(method="of_package", label="The package's name, in any spelling.")
    severity = django_filters.ChoiceFilter(choices=Severity.choices, label="How grave it is.")
    id = django_filters.CharFilter(field_name="osv_id", label="Its id.")

    def of_package(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return rows.filter(key=key_of(value))


class AdvisoriesView(HubView):
    parser_classes = [InstructionsParser]
    queryset: QuerySet[Advisory] = Advisory.objects.none()
    filterset_class = AdvisoryFilter
    ordering_fields = ["id", "osv_id"]
    ordering = ["-id"]

    @extend_schema(operation_id="advisories_list", responses=shapes.AdvisoryAnswer(many=True))
    def get(self, request: Request) -> Response:
        """The advisories that IT has loaded. For everybody signed in."""
        return self.listed(Advisory.objects.all(), shapes.AdvisoryAnswer)

    @extend_schema(operation_id="advisories_load", request=shapes.AdvisoriesBody, responses=shapes.LoadedAnswer)
    def post(self, request: Request) -> Response:
        """Load OSV entries, in place of what was loaded of the same ids; withdrawn ones go. For staff."""
        require(self.actor, Permission.HUB_OPERATE, HUB)
        values = self.given(shapes.AdvisoriesBody)
        try:
            entries = msgspec.convert(values["entries"], list[osv.Entry])
        except msgspec.ValidationError as error:
            raise Unprocessable(
                f"These are no OSV entries: {str(error)[:300]}.", code="bad_advisory", hint="See https://ossf.github.io/osv-schema/."
            ) from None
        loaded = policies.load_advisories(actor=self.actor, entries=entries, ecosystems=values.get("ecosystems") or osv.ECOSYSTEMS)
        return self.shown(loaded, shapes.LoadedAnswer)
