"""REST views that check a specification, and that read and change what settings allow in one."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from condahub.accounts.models import Organization
from condahub.accounts.permissions import HUB, Permission
from condahub.accounts.policy import require
from condahub.api.views import HubView
from environments_app import selectors
from environments_app.api import shapes
from environments_app.building import questions
from environments_app.models import Environment
from environments_app.services import builds, policies
from environments_app.services.choices import Choices
from environments_app.spec import SpecInvalid, kind_of


class ValidateView(HubView):
    pagination_class = None

    @extend_schema(operation_id="specifications_validate", request=shapes.SpecificationToCheck, responses=shapes.CheckedSpecification)
    def post(self, request: Request) -> Response:
        """What is wrong with a specification, line by line, as far as one can tell without solving it. Nothing is recorded."""
        given = self.given(shapes.SpecificationToCheck)
        text = given["specification"]
        organization, environment = self._place(given.get("organization", ""), given.get("environment", ""))
        answer: dict[str, Any] = {"kind": kind_of(text), "name": "", "problems": [], "notes": [], "request": None}
        try:
            checked = builds.validate(actor=self.actor, text=text, organization=organization, environment=environment)
        except SpecInvalid as error:
            answer["problems"] = error.problems
        else:
            answer |= {"name": checked.spec.name, "notes": checked.spec.notes, "request": checked.request.values}
        return self.shown({**answer, "valid": not answer["problems"]}, shapes.CheckedSpecification)

    def _place(self, organization: str, environment: str) -> tuple[Organization | None, Environment | None]:
        if not organization:
            return None, None
        if not environment:
            return selectors.organization_for(self.actor, organization, Permission.ORGANIZATION_READ), None
        found = selectors.environment_for(self.actor, organization, environment, Permission.ENVIRONMENT_READ)
        return found.organization, found


class WouldItSolveView(HubView):
    pagination_class = None

    @extend_schema(operation_id="environments_would_it_solve", request=shapes.Question, responses=shapes.QuestionAnswer)
    def post(self, request: Request) -> Response:
        """Whether a specification would solve, and to which packages; nothing is built or recorded. 503 where too many ask at once."""
        given = self.given(shapes.Question)
        organization = selectors.organization_for(self.actor, given["organization"], Permission.ENVIRONMENT_SOLVE)
        environment = None
        if given.get("environment"):
            environment = selectors.environment_for(self.actor, organization.name, given["environment"], Permission.ENVIRONMENT_SOLVE)
        choices = Choices(**{name: given[name] for name in ("exclude_newer", "update", "keep") if name in given})
        answer = questions.would_it_solve(
            actor=self.actor, organization=organization, environment=environment, text=given["specification"], choices=choices
        )
        return self.shown(answer, shapes.QuestionAnswer)


class _SettingsView(HubView):
    pagination_class = None

    def settings_shown(self, on: Organization | Environment | None) -> Response:
        environment = on if isinstance(on, Environment) else None
        organization = environment.organization if environment is not None else on if isinstance(on, Organization) else None
        merged = policies.settings_for(organization, environment).as_dict()
        return self.shown({"values": policies.own_values(on), "merged": merged}, shapes.EnvironmentSettingsAnswer)

    def settings_changed(self, on: Organization | Environment | None) -> Response:
        policies.change_settings(actor=self.actor, on=on, changes=self.given(shapes.EnvironmentSettingsChanges)["values"])
        return self.settings_shown(on)


class HubSettingsView(_SettingsView):
    @extend_schema(operation_id="environment_settings_retrieve", responses=shapes.EnvironmentSettingsAnswer)
    def get(self, request: Request) -> Response:
        """What holds for every environment of this hub."""
        return self.settings_shown(None)

    @extend_schema(
        operation_id="environment_settings_update", request=shapes.EnvironmentSettingsChanges, responses=shapes.EnvironmentSettingsAnswer
    )
    def patch(self, request: Request) -> Response:
        """Change it; for IT staff."""
        require(self.actor, Permission.HUB_OPERATE, HUB)
        return self.settings_changed(None)


class OrganizationSettingsView(_SettingsView):
    @extend_schema(operation_id="organization_environment_settings_retrieve", responses=shapes.EnvironmentSettingsAnswer)
    def get(self, request: Request, organization: str) -> Response:
        """What holds for every environment of an organization."""
        return self.settings_shown(selectors.organization_for(self.actor, organization, Permission.ORGANIZATION_READ))

    @extend_schema(
        operation_id="organization_environment_settings_update",
        request=shapes.EnvironmentSettingsChanges,
        responses=shapes.EnvironmentSettingsAnswer,
    )
    def patch(self, request: Request, organization: str) -> Response:
        """Change it; for owners. What is forbidden above stays forbidden."""
        return self.settings_changed(selectors.organization_for(self.actor, organization, Permission.ORGANIZATION_UPDATE))


class EnvironmentSettingsView(_SettingsView):
    @extend_schema(operation_id="one_environment_settings_retrieve", responses=shapes.EnvironmentSettingsAnswer)
    def get(self, request: Request, organization: str, environment: str) -> Response:
        """What holds for one environment."""
        return self.settings_shown(selectors.environment_for(self.actor, organization, environment, Permission.ENVIRONMENT_READ))

    @extend_schema(
        operation_id="one_environment_settings_update",
        request=shapes.EnvironmentSettingsChanges,
        responses=shapes.EnvironmentSettingsAnswer,
    )
    def patch(self, request: Request, organization: str, environment: str) -> Response:
        """Change it. What is forbidden above stays forbidden."""
        return self.settings_changed(selectors.environment_for(self.actor, organization, environment, Permission.ENVIRONMENT_UPDATE))
