"""Pages of policy: what acts, what it hides and why, what other rules would hide, releases and waivers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils import timezone

from channels_app import showing
from channels_app.models import Effect
from channels_app.policies.rules import MAX_COOLDOWN_DAYS, SEVERITY_RANK, Rules, read_rules, stored
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
from condahub.portal.wording import counted, listed, size

MEGABYTE = 1_000_000
EFFECTS = [("hold", "Hold until released"), ("deny", "Deny, in the past too")]
SEVERITIES = [("", "no rule"), *((name.value, f"{name.value} or graver") for name in SEVERITY_RANK if name != "unknown")]
LIFETIMES = [("7", "for 7 days"), ("30", "for 30 days"), ("90", "for 90 days"), ("365", "for a year")]
LEVELS = {"installation": "This installation", "organization": "The organization", "channel": "This channel"}


def _lines(label: str, help_text: str) -> forms.CharField:
    widget = forms.Textarea(attrs={"rows": 3, "class": "form-control mono", "spellcheck": "false"})
    return forms.CharField(required=False, label=label, help_text=help_text, widget=widget, max_length=100_000)


def _effect(initial: str) -> forms.ChoiceField:
    return forms.ChoiceField(choices=EFFECTS, initial=initial, required=False, label="Then")


class PolicyForm(HubForm):
    """One level's rules as fields; an empty one is no rule."""

    cooldown_days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_COOLDOWN_DAYS,
        label="Days a package must have been known here",
        help_text="Counted from this hub's own first sight; a package's own date counts for nothing.",
    )
    cooldown_effect = _effect("hold")
    licenses_allowed = _lines("Licences that are allowed", "SPDX identifiers, one a line, * for any part. Once one is named, others fail.")
    licenses_denied = _lines("Licences that are not", "One a line, such as AGPL*.")
    licenses_effect = _effect("deny")
    names_allowed = _lines("Packages that are allowed", "Names with *, or MatchSpecs such as numpy >=2. Once one is named, others fail.")
    names_denied = _lines("Packages that are not", "One a line.")
    names_effect = _effect("deny")
    size_megabytes = forms.IntegerField(required=False, min_value=1, max_value=10**9, label="The largest file, in MB")
    size_effect = _effect("deny")
    advisories_severity = forms.ChoiceField(
        required=False, choices=SEVERITIES, label="Loaded advisories that count", help_text="Files that one of them affects are hidden."
    )
    advisories_effect = _effect("deny")
    attestation = forms.BooleanField(required=False, label="An attestation must have come with the package (CEP-50)")
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
    what = forms.CharField(max_length=300, label="Package", help_text="A MatchSpec such as numpy =2.1, or a sha256.")
    reason = forms.CharField(max_length=500, label="Why", widget=forms.TextInput(attrs={"autocomplete": "off"}))
    days = forms.ChoiceField(choices=LIFETIMES, initial="30", label="How long")


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
            raise Unprocessable("Say which package, why, and for how long.", code="incomplete")
        until = timezone.now() + timedelta(days=int(form.cleaned_data["days"]))
        what = form.cleaned_data["what"]
        policies.release(actor=request.actor, channel=found, what=what, reason=form.cleaned_data["reason"], expires_at=until)
    except HubError as error:
        return failed(request, path, error)
    return done(request, path, f"'{what}' is shown until {until:%Y-%m-%d}. The index follows in a moment.")


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
    return done(request, path, f"The waiver for '{waiver.what}' has ended.")


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
                sentence = (
                    "No rule of this level acts any more." if saved.is_empty else "Saved. Downloads obey at once, the index in a moment."
                )
                return done(request, path, sentence)
            preview = _told(showing.preview(actor=request.actor, scope=scope, rules=rules))
            context |= {"preview": preview, "preview_words": in_words(read_rules(rules))}
        except HubError as refused:
            error = refused
    return show(request, template, {**context, "form": form}, error=error)


def _told(preview: showing.Preview) -> dict[str, Any]:
    """A preview with its sentence."""
    changes = []
    if preview.newly_hidden:
        changes.append(f"{counted(preview.newly_hidden, 'file')} would be hidden")
    if preview.newly_shown:
        changes.append(f"{counted(preview.newly_shown, 'file')} would be shown again")
    looked = "" if preview.complete else f" Only the first {preview.examined:,} files were looked at: there was no time for more."
    return {"numbers": preview, "sentence": (listed(changes) if changes else "Nothing would change") + "." + looked}


def in_words(rules: Rules) -> list[str]:
    """One sentence a rule."""
    words: list[str] = []
    if rules.cooldown:
        words.append(f"{_does(rules.cooldown.effect)} what this hub has known for less than {counted(rules.cooldown.days, 'day')}.")
    for name, one in (("licences", rules.licenses), ("packages", rules.names)):
        if one is not None:
            parts = [f"all {name} but {_some(one.allowed)}"] if one.allowed else []
            parts += [f"the {name} {_some(one.denied)}"] if one.denied else []
            words.append(f"{_does(one.effect)} {' and '.join(parts)}.")
    if rules.size:
        words.append(f"{_does(rules.size.effect)} files over {size(rules.size.max_bytes)}.")
    if rules.advisories:
        words.append(f"{_does(rules.advisories.effect)} what an advisory of {rules.advisories.min_severity} severity or worse affects.")
    if rules.attestation:
        words.append(f"{_does(rules.attestation.effect)} what came without an attestation.")
    return words


def _does(effect: str) -> str:
    return "Denies" if effect == Effect.DENY else "Holds"


def _some(patterns: list[str], most: int = 6) -> str:
    shown = patterns[:most]
    return listed([*shown, f"{len(patterns) - most} more"] if len(patterns) > most else shown)
