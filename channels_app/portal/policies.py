"""Pages of policy: what acts, what it hides and why, what other rules would hide, releases and waivers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext, pgettext
from django.utils.translation import gettext_lazy as _

from channels_app import showing
from channels_app.models import Effect, Severity
from channels_app.policies.rules import MAX_COOLDOWN_DAYS, SEVERITY_RANK, Licenses, Names, Rules, read_rules, stored
from channels_app.portal import words
from channels_app.portal.frame import channel_for, head
from channels_app.services import policies
from channels_app.services.scopes import Scope
from condahub.accounts.models import Organization
from condahub.accounts.permissions import HUB
from condahub.accounts.policy import Permission, can, reads_all, require
from condahub.errors import Forbidden, HubError, Unprocessable
from condahub.portal import paging
from condahub.portal.forms import HubForm
from condahub.portal.organization_frame import found_organization, organization_head
from condahub.portal.page import PortalRequest, asked, done, failed, page, person, show
from condahub.portal.wording import counted, listed, number, size

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

MEGABYTE = 1_000_000
EFFECTS = [("hold", _("Hold until released")), ("deny", _("Deny, in the past too"))]
SEVERITIES = [("", _("no rule")), *((name.value, words.OR_GRAVER[name]) for name in SEVERITY_RANK if name != "unknown")]
LIFETIMES = [("7", _("for 7 days")), ("30", _("for 30 days")), ("90", _("for 90 days")), ("365", _("for a year"))]
LEVELS = {"installation": _("This installation"), "organization": _("The organization"), "channel": _("This channel")}


def _lines(label: StrOrPromise, help_text: StrOrPromise) -> forms.CharField:
    widget = forms.Textarea(attrs={"rows": 3, "class": "form-control mono", "spellcheck": "false"})
    return forms.CharField(required=False, label=label, help_text=help_text, widget=widget, max_length=100_000)


def _effect(initial: str) -> forms.ChoiceField:
    return forms.ChoiceField(choices=EFFECTS, initial=initial, required=False, label=_("Then"))


class PolicyForm(HubForm):
    """One level's rules as fields; an empty one is no rule."""

    cooldown_days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_COOLDOWN_DAYS,
        label=_("Days a package must have been known here"),
        help_text=_("Counted from this hub's own first sight; a package's own date counts for nothing."),
    )
    cooldown_effect = _effect("hold")
    licenses_allowed = _lines(
        _("Licences that are allowed"), _("SPDX identifiers, one a line, * for any part. Once one is named, others fail.")
    )
    licenses_denied = _lines(_("Licences that are not"), _("One a line, such as AGPL*."))
    licenses_effect = _effect("deny")
    names_allowed = _lines(
        _("Packages that are allowed"), _("Names with *, or MatchSpecs such as numpy >=2. Once one is named, others fail.")
    )
    names_denied = _lines(_("Packages that are not"), _("One a line."))
    names_effect = _effect("deny")
    size_megabytes = forms.IntegerField(required=False, min_value=1, max_value=10**9, label=_("The largest file, in MB"))
    size_effect = _effect("deny")
    advisories_severity = forms.ChoiceField(
        required=False,
        choices=SEVERITIES,
        label=_("Loaded advisories that count"),
        help_text=_("Files that one of them affects are hidden."),
    )
    advisories_effect = _effect("deny")
    attestation = forms.BooleanField(
        required=False, label=_("An attestation must have come with the package (CEP-50); who signed it is not verified")
    )
    attestation_effect = _effect("hold")

    @staticmethod
    def values_of(rules: Rules) -> dict[str, Any]:
        """The fields' values for rules that there are."""
        values: dict[str, Any] = {}
        if rules.cooldown:
            values |= {"cooldown_days": rules.cooldown.days, "cooldown_effect": rules.cooldown.effect}
        for name in ("licenses", "names"):
            if rule := getattr(rules, name):
                values |= {f"{name}_{part}": "\n".join(getattr(rule, part)) for part in ("allowed", "denied")}
                values[f"{name}_effect"] = rule.effect
        if rules.size:
            values |= {"size_megabytes": -(-rules.size.max_bytes // MEGABYTE), "size_effect": rules.size.effect}
        if rules.advisories:
            values |= {"advisories_severity": rules.advisories.min_severity, "advisories_effect": rules.advisories.effect}
        if rules.attestation:
            values |= {"attestation": True, "attestation_effect": rules.attestation.effect}
        return values

    def rules(self, before: Rules) -> dict[str, Any]:
        """What the services take. before: a size that was not touched stays exact."""
        given = self.cleaned_data
        made: dict[str, Any] = {}
        if given["cooldown_days"]:
            made["cooldown"] = {"days": given["cooldown_days"]}
        for name in ("licenses", "names"):
            lists = {part: given[f"{name}_{part}"].split("\n") for part in ("allowed", "denied")}
            kept = {part: [line.strip() for line in lines if line.strip()] for part, lines in lists.items()}
            if any(kept.values()):
                made[name] = kept
        if given["size_megabytes"]:
            untouched = before.size is not None and -(-before.size.max_bytes // MEGABYTE) == given["size_megabytes"]
            made["size"] = {"max_bytes": before.size.max_bytes if untouched and before.size else given["size_megabytes"] * MEGABYTE}
        if given["advisories_severity"]:
            made["advisories"] = {"min_severity": given["advisories_severity"]}
        if given["attestation"]:
            made["attestation"] = {}
        for name, rule in made.items():
            if given[f"{name}_effect"]:
                rule["effect"] = given[f"{name}_effect"]
        return made


class ReleaseForm(HubForm):
    what = forms.CharField(max_length=300, label=_("Package"), help_text=_("A MatchSpec such as numpy =2.1, or a sha256."))
    reason = forms.CharField(max_length=500, label=_("Why"), widget=forms.TextInput(attrs={"autocomplete": "off"}))
    days = forms.ChoiceField(choices=LIFETIMES, initial="30", label=_("How long"))


@page(anonymous=True, methods=("GET", "HEAD", "POST"))
def channel_policy(request: PortalRequest, channel: str) -> HttpResponseBase:
    """What acts on a channel and what it hides; for its keepers the rules of the channel's own."""
    found = channel_for(request, channel)
    person(request)
    frame = head(request, found, "policy")
    hidden = showing.hidden_in(found).order_by("-indexed_at", "-id")
    name = asked(request, "q")
    listing = paging.numbered(request, hidden.filter(name__icontains=name) if name else hidden)
    waivers = showing.waivers_seen_by(request.actor).filter(expires_at__gt=timezone.now()).order_by("expires_at")
    acting = list(waivers.filter(channel=found)[:100])
    may_release = can(request.actor, Permission.POLICY_WAIVE, found)
    layers = showing.policies_on(request.actor, found)
    context = {
        **frame,
        "layers": [{**layer, "title": LEVELS[layer["level"]], "words": in_words(stored(layer["rules"]))} for layer in layers],
        "page": listing,
        "hidden": showing.explained(found, listing.rows),
        "q": name,
        "state": found.policy_state,
        "waivers": acting,
        "levels": words.LEVELS,
        "rule_words": words.RULES,
        "severities": words.SEVERITIES,
        "may_release": may_release,
        "release_form": ReleaseForm(initial={"what": asked(request, "what", 300)}) if may_release else None,
        "kept_waivers": {one.pk for one in acting if policies.scope_of(one).is_kept_by(request.actor)},
    }
    path = reverse("channels:policy", args=[found.name])
    return _edited(request, Scope.of_channel(found), "channels/policy.html", context, path)


@page(methods=("POST",))
def release(request: PortalRequest, channel: str) -> HttpResponseBase:
    """Show what policy hides, for a while."""
    found = channel_for(request, channel, Permission.POLICY_WAIVE)
    path = reverse("channels:policy", args=[found.name])
    form = ReleaseForm(request.POST)
    try:
        if not form.is_valid():
            raise Unprocessable(gettext("Say which package, why, and for how long."), code="incomplete")
        until = timezone.now() + timedelta(days=int(form.cleaned_data["days"]))
        what = form.cleaned_data["what"]
        policies.release(actor=request.actor, channel=found, what=what, reason=form.cleaned_data["reason"], expires_at=until)
    except HubError as error:
        return failed(request, path, error)
    return done(
        request,
        path,
        gettext("'%(what)s' is shown until %(day)s. The index follows in a moment.") % {"what": what, "day": f"{until:%Y-%m-%d}"},
    )


@page(methods=("POST",))
def waiver_revoke(request: PortalRequest, channel: str, number: int) -> HttpResponseBase:
    found = channel_for(request, channel)
    person(request)
    path = reverse("channels:policy", args=[found.name])
    try:
        waiver = showing.waiver_for(request.actor, number)
        if waiver.channel_id != found.pk:
            raise Forbidden
        policies.revoke_waiver(actor=request.actor, waiver=waiver)
    except HubError as error:
        return failed(request, path, error)
    return done(request, path, gettext("The waiver for '%(what)s' has ended.") % {"what": waiver.what})


@page(methods=("GET", "HEAD", "POST"))
def organization_policy(request: PortalRequest, organization: str) -> HttpResponseBase:
    """The rules that act on all channels of an organization."""
    found = found_organization(request.actor, organization, Permission.ORGANIZATION_READ)
    return _wide(request, Scope.of_organization(found), found)


@page(methods=("GET", "HEAD", "POST"))
def installation_policy(request: PortalRequest) -> HttpResponseBase:
    """The rules that act on every channel, for IT staff; auditors read them."""
    if not reads_all(request.actor):
        require(request.actor, Permission.HUB_OPERATE, HUB)
    return _wide(request, Scope.of_installation(), None)


def _wide(request: PortalRequest, scope: Scope, organization: Organization | None) -> HttpResponseBase:
    policy = showing.policy_of(scope)
    waivers = showing.waivers_seen_by(request.actor).filter(level=scope.level, expires_at__gt=timezone.now()).order_by("expires_at")
    if organization is not None:
        waivers = waivers.filter(organization=organization)
    context = {
        **(organization_head(request, organization, "policy") if organization is not None else {}),
        "policy": policy,
        "words": in_words(stored(policy["rules"])),
        "waivers": list(waivers[:100]),
    }
    template = "channels/policy_organization.html" if organization is not None else "channels/policy_installation.html"
    return _edited(request, scope, template, context, request.path)


def _edited(request: PortalRequest, scope: Scope, template: str, context: dict[str, Any], path: str) -> HttpResponseBase:
    """The page with the level's form where the actor keeps it: first what it would hide, then saved."""
    if not scope.is_kept_by(request.actor, Permission.POLICY_UPDATE):
        if request.method == "POST":
            raise Forbidden
        return show(request, template, {**context, "form": None})
    before = stored(showing.policy_of(scope)["rules"])
    form = PolicyForm(request.POST or None, initial=PolicyForm.values_of(before))
    error: HubError | None = None
    preview = None
    if request.method == "POST" and form.is_valid():
        try:
            rules = form.rules(before)
            if request.POST.get("verb") == "save":
                saved = policies.set_policy(actor=request.actor, scope=scope, rules=rules)
                none, some = (
                    gettext("No rule of this level acts any more."),
                    gettext("Saved. Downloads obey at once, the index in a moment."),
                )
                return done(request, path, none if saved.is_empty else some)
            preview = _told(showing.preview(actor=request.actor, scope=scope, rules=rules))
            context |= {"preview": preview, "preview_words": in_words(read_rules(rules))}
        except HubError as refused:
            error = refused
    return show(request, template, {**context, "form": form}, error=error)


def _told(preview: showing.Preview) -> dict[str, Any]:
    """A preview with its sentence."""
    changes = []
    if preview.newly_hidden:
        changes.append(gettext("%(files)s would be hidden") % {"files": counted(preview.newly_hidden, "file")})
    if preview.newly_shown:
        changes.append(gettext("%(files)s would be shown again") % {"files": counted(preview.newly_shown, "file")})
    sentence = (listed(changes) if changes else gettext("Nothing would change")) + "."
    if not preview.complete:
        looked = gettext("Only the first %(files)s were looked at: there was no time for more.")
        sentence += " " + looked % {"files": counted(preview.examined, "file")}
    return {"numbers": preview, "sentence": sentence}


def in_words(rules: Rules) -> list[str]:
    """One sentence a rule."""
    said: list[str] = []
    if rules.cooldown:
        days = rules.cooldown.days
        known = ngettext(
            "%(does)s what this hub has known for less than %(days)s day.",
            "%(does)s what this hub has known for less than %(days)s days.",
            days,
        )
        said.append(known % {"does": _does(rules.cooldown.effect), "days": number(days)})
    if rules.licenses is not None:
        some, denied = gettext("all licences but %(names)s"), gettext("the licences %(names)s")
        said.append(_of(rules.licenses, some, denied))
    if rules.names is not None:
        some, denied = gettext("all packages but %(names)s"), gettext("the packages %(names)s")
        said.append(_of(rules.names, some, denied))
    if rules.size:
        said.append(gettext("%(does)s files over %(size)s.") % {"does": _does(rules.size.effect), "size": size(rules.size.max_bytes)})
    if rules.advisories:
        grave = words.SEVERITIES[Severity(rules.advisories.min_severity)]
        affected = gettext("%(does)s what an advisory of %(severity)s severity or worse affects.")
        said.append(affected % {"does": _does(rules.advisories.effect), "severity": grave})
    if rules.attestation:
        said.append(gettext("%(does)s what came without an attestation.") % {"does": _does(rules.attestation.effect)})
    return said


def _does(effect: str) -> str:
    return pgettext("rule", "Denies") if effect == Effect.DENY else pgettext("rule", "Holds")


def _of(rule: Licenses | Names, but: str, these: str) -> str:
    parts = [but % {"names": _some(rule.allowed)}] if rule.allowed else []
    parts += [these % {"names": _some(rule.denied)}] if rule.denied else []
    return gettext("%(does)s %(which)s.") % {"does": _does(rule.effect), "which": listed(parts)}


def _some(patterns: list[str], most: int = 6) -> str:
    more = gettext("%(number)s more") % {"number": len(patterns) - most}
    return listed([*patterns[:most], more] if len(patterns) > most else patterns)
