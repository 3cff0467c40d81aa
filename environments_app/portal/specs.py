"""Making and changing an environment: by fields, as YAML, from a lock file, with what it means beside it."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext

from channels_app.models import Channel
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission
from condahub.errors import Conflict, HubError, Unprocessable
from condahub.portal.page import PortalRequest, asked, done, page, show
from environments_app import selectors
from environments_app.models import Build, Environment, SpecificationKind
from environments_app.portal import forms, reads
from environments_app.portal.forms import SpecForm
from environments_app.portal.frame import environment_for, head, path_of
from environments_app.portal.meaning import Meaning, faults_of, meaning
from environments_app.services import builds
from environments_app.services.policies import settings_for
from environments_app.spec import SpecInvalid

SHOWN_CHANNELS = 40
OWN_CHANNELS = 2


@page(methods=("GET", "HEAD", "POST"))
def new(request: PortalRequest) -> HttpResponseBase:
    """A first specification makes the environment."""
    homes = reads.homes(request.actor)
    asked_for = asked(request, "organization")
    chosen = next((one for one in homes if one.name == asked_for), homes[0] if homes else None)
    initial: dict[str, Any] = {"way": asked(request, "way") or forms.FIELDS, "organization": chosen.name if chosen else ""}
    if request.method != "POST" and chosen is not None:
        initial["channels"] = "\n".join(settings_for(chosen).default_channels or _own_channels(request.actor, chosen))
    return _Editor(request, None, homes, initial).answer()


@page(methods=("GET", "HEAD", "POST"))
def edit(request: PortalRequest, organization: str, environment: str) -> HttpResponseBase:
    """The next build of an environment, starting from what was asked for last."""
    found = environment_for(request, organization, environment, Permission.ENVIRONMENT_UPDATE)
    initial: dict[str, Any] = {}
    if request.method != "POST":
        initial = _initial_of(selectors.builds_of(request.actor, found).order_by("-number").first())
    return _Editor(request, found, [found.organization], {**initial, "organization": organization, "name": found.name}).answer()


def _own_channels(actor: Actor, organization: Organization) -> list[str]:
    own = Channel.objects.visible_to(actor).filter(organization=organization).order_by("name")
    return list(own.values_list("name", flat=True)[:OWN_CHANNELS])


def _initial_of(build: Build | None) -> dict[str, Any]:
    if build is None:
        return {"way": forms.FIELDS}
    text = build.specification.text
    if build.specification.kind != SpecificationKind.YAML:
        return {"way": forms.LOCK, "lock": text}
    return {"way": forms.YAML, "yaml": text}


class _Editor:
    """One request to the page of a specification: what the button that was pressed asks for."""

    def __init__(self, request: PortalRequest, environment: Environment | None, homes: list[Organization], initial: dict[str, Any]) -> None:
        self._request, self._environment, self._homes = request, environment, homes
        self._initial = initial
        self._meaning = Meaning("")
        self._error: HubError | None = None
        self._form = self._bound() if request.method == "POST" else SpecForm(initial=initial)

    def _bound(self) -> SpecForm:
        data = self._request.POST.copy()
        if self._environment is not None:
            data["organization"], data["name"] = self._initial["organization"], self._initial["name"]
        if added := data.pop("add", [""])[-1]:
            data["packages"] = with_line(str(data.get("packages", "")), added)
        return SpecForm(data, self._request.FILES)

    def answer(self) -> HttpResponseBase:
        if self._request.method == "POST" and self._form.is_valid():
            try:
                made = self._act(self._request.POST.get("go", ""))
            except SpecInvalid as error:
                self._error = error
                self._meaning = Meaning("faulty", faults=faults_of(self._form.text(), error.problems), numbered=self._is_numbered)
            except HubError as error:
                self._error = error
            else:
                if made is not None:
                    return made
        return self._shown()

    def _act(self, go: str) -> HttpResponseBase | None:
        if go == "build":
            return self._build()
        if go.startswith("to-"):
            self._turn(go.removeprefix("to-"))
        elif go == "check":
            self._meaning = meaning_of(self._request.actor, self._form, self._environment)
        return None

    def _build(self) -> HttpResponseBase:
        given, actor = self._form.cleaned_data, self._request.actor
        text = self._form.text()
        if self._environment is None:
            organization = selectors.organization_for(actor, given["organization"], Permission.ENVIRONMENT_CREATE)
            taken = Environment.objects.visible_to(actor).filter(organization=organization, name=given["name"])
            if given["name"] and taken.exists():
                raise Conflict(
                    gettext("'%(organization)s' has an environment '%(name)s' already.")
                    % {"organization": organization.name, "name": given["name"]},
                    code="name_taken",
                    hint=gettext("Choose another name, or edit that one: it gets a next build."),
                )
        else:
            organization = self._environment.organization
        build = builds.submit_specification(
            actor=actor, organization=organization, text=text, name=given["name"].strip(), choices=self._form.choices()
        )
        return done(self._request, path_of(build.environment, "build", build.number))

    def _turn(self, way: str) -> None:
        """Show the same specification in another way, as far as that way can say it."""
        data = dict(self._form.cleaned_data)
        before = self._form.the_way
        if way == before or way not in (forms.FIELDS, forms.YAML, forms.LOCK):
            return
        if way == forms.YAML and before == forms.FIELDS and (data["packages"].strip() or data["pip"].strip()):
            data["yaml"] = forms.text_of_fields(data)
        elif way == forms.FIELDS and before == forms.YAML and data["yaml"].strip():
            shown = forms.fields_of_text(self._form.text())
            data |= {**shown, "name": data["name"] or shown["name"]}
        data["way"] = way
        data.pop("upload", None)
        self._form = SpecForm(initial=data)

    @property
    def _is_numbered(self) -> bool:
        return self._form.the_way != forms.FIELDS

    def _shown(self) -> HttpResponse:
        values = {name: self._form[name].value() for name in ("channels", "find", "yaml", "lock", "packages")}
        context: dict[str, Any] = {
            "form": self._form,
            "way": self._form.the_way,
            "ways": forms.WAYS,
            "homes": self._homes,
            "meaning": self._meaning,
            "may_ask": bool((values["yaml"] or values["lock"] or values["packages"] or "").strip()),
            "suggestions": _suggested(self._request.actor, values["channels"] or "", values["find"] or ""),
            "channel_names": list(
                Channel.objects.visible_to(self._request.actor).order_by("name").values_list("name", flat=True)[:SHOWN_CHANNELS]
            )
            if self._form.the_way == forms.FIELDS
            else [],
        }
        # The faults stand at their lines; said twice they are no clearer.
        error = None if isinstance(self._error, SpecInvalid) else self._error
        if self._environment is not None:
            context |= head(self._request, self._environment, "spec")
        response = show(self._request, "environments/edit.html" if self._environment else "environments/new.html", context, error=error)
        if self._error is not None:
            response.status_code = self._error.status
        elif self._request.method == "POST" and self._form.errors:
            response.status_code = Unprocessable.status
        return response


def with_line(text: str, added: str) -> str:
    """The lines with one more; a package that is among them is asked for as the new line says."""
    name = added.split(" ")[0]
    lines = [line for line in text.splitlines() if line.strip() and line.split()[0] != name]
    return "\n".join([*lines, added.replace("\n", " ")[:500]])


def meaning_of(actor: Actor, form: SpecForm, environment: Environment | None) -> Meaning:
    """Of a form that is valid. Raises NotAuthenticated, Forbidden, Unprocessable."""
    text, by_fields = form.text(), form.the_way == forms.FIELDS
    if not text.strip() or (by_fields and not any(forms.entries(form.cleaned_data[name]) for name in ("packages", "pip"))):
        return Meaning("")
    if environment is not None:
        organization = environment.organization
    else:
        organization = selectors.organization_for(actor, form.cleaned_data["organization"], Permission.ENVIRONMENT_SOLVE)
    return meaning(
        actor=actor,
        organization=organization,
        environment=environment,
        text=text,
        choices=form.choices(),
        numbered=not by_fields,
    )


@page(methods=("POST",))
def check(request: PortalRequest) -> HttpResponseBase:
    """The part of the page that is asked for while somebody types."""
    form = SpecForm(request.POST)
    environment = None
    if request.POST.get("environment"):
        organization = request.POST.get("organization", "")[:64]
        environment = environment_for(request, organization, request.POST["environment"][:64], Permission.ENVIRONMENT_SOLVE)
    try:
        told = meaning_of(request.actor, form, environment) if form.is_valid() else Meaning("")
    except Unprocessable as error:
        told = Meaning("refused", error=error)
    return render(request, "environments/parts/meaning.html", {"meaning": told})


@page(methods=("POST",))
def pick(request: PortalRequest) -> HttpResponseBase:
    """The part with packages to pick; with `add`, the packages' field with that line in it."""
    form = SpecForm(request.POST)
    if added := request.POST.get("add", ""):
        data = request.POST.copy()
        data["packages"] = with_line(str(data.get("packages", "")), added)
        response = render(request, "environments/parts/packages_field.html", {"form": SpecForm(data)})
        # The question of what it means listens for this.
        response.headers["HX-Trigger"] = "picked"
        return response
    given = form.cleaned_data if form.is_valid() else {"channels": "", "find": ""}
    found = _suggested(request.actor, given["channels"], given["find"])
    return render(request, "environments/parts/suggestions.html", {"suggestions": found, "find": given["find"]})


def _suggested(actor: Actor, channels: str, text: str) -> list[reads.Suggestion]:
    return reads.suggestions(actor, forms.entries(channels), text) if text.strip() else []


def new_path(organization: Organization) -> str:
    return f"{reverse('environments:new')}?organization={organization.name}"
