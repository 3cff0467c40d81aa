"""What the pages of mirrors ask for, and how it becomes what the services take."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy

from condahub.portal.forms import HubForm
from mirrors_app.models import CredentialKind, DeniedRule, Mirror, MirrorMode, RemovedRule, ReplacedRule, Upstream
from mirrors_app.services.mirrors import MAX_LOCK_CHARS, UpstreamSpec

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

MEGABYTE = 1_000_000
SUBDIRS = ("noarch", "linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64")
MODES = [
    (MirrorMode.FULL.value, gettext_lazy("Everything of the chosen platforms")),
    (MirrorMode.FILTERED.value, gettext_lazy("What filters choose")),
    (MirrorMode.LAZY.value, gettext_lazy("On demand: a package comes when somebody installs it")),
    (MirrorMode.LOCK.value, gettext_lazy("Exactly the packages of a lock file")),
]
CREDENTIALS = [
    (CredentialKind.NONE.value, gettext_lazy("none")),
    (CredentialKind.TOKEN.value, gettext_lazy("a token in the path (/t/…)")),
    (CredentialKind.BASIC.value, gettext_lazy("user name and password")),
    (CredentialKind.BEARER.value, gettext_lazy("a Bearer token")),
    (CredentialKind.API_KEY.value, gettext_lazy("an X-API-Key")),
    (CredentialKind.S3.value, gettext_lazy("S3 keys")),
]
REMOVED = [
    (RemovedRule.KEEP.value, gettext_lazy("stays here")),
    (RemovedRule.DROP.value, gettext_lazy("goes here too, and stays in past revisions")),
]
DENIED = [
    (DeniedRule.BRING.value, gettext_lazy("is brought, and not shown while it is denied")),
    (DeniedRule.LEAVE.value, gettext_lazy("is left out until the rules change")),
]
REPLACED = [
    (ReplacedRule.HOLD.value, gettext_lazy("is kept aside, and somebody is told")),
    (ReplacedRule.FOLLOW.value, gettext_lazy("is shown, and somebody is told")),
]


def _lines(label: StrOrPromise, help_text: StrOrPromise, rows: int = 3) -> forms.CharField:
    widget = forms.Textarea(attrs={"rows": rows, "class": "form-control mono", "spellcheck": "false"})
    return forms.CharField(required=False, label=label, help_text=help_text, widget=widget, max_length=500_000)


class FilterForm(HubForm):
    """The filters alone, as a dry run takes them too."""

    include = _lines(gettext_lazy("Only these"), gettext_lazy("MatchSpecs, one a line: numpy >=1.26, py*. Empty: everything."))
    exclude = _lines(gettext_lazy("Not these"), gettext_lazy("MatchSpecs, one a line. They win over the list above."))
    names = _lines(gettext_lazy("Only these names"), gettext_lazy("A list of package names, one a line."))
    licenses = _lines(gettext_lazy("Only these licences"), gettext_lazy("SPDX identifiers with *, one a line."), rows=2)
    newest_versions = forms.IntegerField(
        required=False, min_value=1, max_value=10_000, label=gettext_lazy("The newest versions of each package")
    )
    max_megabytes = forms.IntegerField(required=False, min_value=1, max_value=10**7, label=gettext_lazy("No file over, in MB"))
    built_after = forms.DateField(required=False, label=gettext_lazy("Built after"), widget=forms.DateInput(attrs={"type": "date"}))
    with_dependencies = forms.BooleanField(
        required=False,
        label=gettext_lazy("And what these need"),
        help_text=gettext_lazy("Within these platforms and noarch, never against 'not these'."),
    )

    def filters(self, before: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the services take. before: what this form does not know stays, and a number that was not touched stays exact."""
        given, old = self.cleaned_data, dict(before or {})
        for name in ("include", "exclude", "names", "licenses"):
            old[name] = [line.strip() for line in given[name].splitlines() if line.strip()]
        old["newest_versions"] = given["newest_versions"] or 0
        megabytes = given["max_megabytes"] or 0
        if -(-int(old.get("max_bytes") or 0) // MEGABYTE) != megabytes:
            old["max_bytes"] = megabytes * MEGABYTE
        day = given["built_after"]
        if str(old.get("built_after") or "")[:10] != (day.isoformat() if day else ""):
            old["built_after"] = datetime.combine(day, time(), UTC).isoformat() if day else None
        old["with_dependencies"] = given["with_dependencies"]
        return {key: value for key, value in old.items() if value}

    @staticmethod
    def values_of(filters: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {name: "\n".join(filters.get(name, [])) for name in ("include", "exclude", "names", "licenses")}
        values["newest_versions"] = filters.get("newest_versions") or None
        values["max_megabytes"] = -(-filters["max_bytes"] // MEGABYTE) if filters.get("max_bytes") else None
        values["built_after"] = str(filters["built_after"])[:10] if filters.get("built_after") else None
        values["with_dependencies"] = bool(filters.get("with_dependencies"))
        return values


class MirrorForm(FilterForm):
    """All settings of a mirror."""

    url = forms.CharField(
        max_length=2000,
        label=gettext_lazy("Upstream"),
        help_text=gettext_lazy(
            "The channel's address: https, another hub's, s3://bucket/prefix, or a folder that IT allows. More than one: one a line. "
            "A lock file needs none."
        ),
        widget=forms.Textarea(attrs={"rows": 1, "class": "form-control mono", "spellcheck": "false"}),
        required=False,
    )
    credential_kind = forms.ChoiceField(choices=CREDENTIALS, required=False, label=gettext_lazy("It asks for"))
    username = forms.CharField(
        required=False, max_length=200, label=gettext_lazy("User name or access key"), widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    secret = forms.CharField(
        required=False,
        max_length=2000,
        label=gettext_lazy("Secret"),
        help_text=gettext_lazy("Kept encrypted, never shown again. Empty: the one that is kept."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    endpoint = forms.CharField(
        required=False,
        max_length=500,
        label=gettext_lazy("S3 server"),
        help_text=gettext_lazy("Of a bucket that is not at AWS, such as https://s3.example.org."),
    )
    region = forms.CharField(required=False, max_length=64, label=gettext_lazy("S3 region"))
    mode = forms.ChoiceField(choices=MODES, label=gettext_lazy("It brings"), initial=MirrorMode.FULL.value)
    subdirs = forms.MultipleChoiceField(
        choices=[(name, name) for name in SUBDIRS], required=False, label=gettext_lazy("Platforms"), widget=forms.CheckboxSelectMultiple
    )
    more_subdirs = forms.CharField(
        required=False, max_length=500, label=gettext_lazy("Other platforms"), help_text=gettext_lazy("Such as linux-ppc64le, with commas.")
    )
    lock = forms.CharField(
        required=False,
        max_length=MAX_LOCK_CHARS,
        label=gettext_lazy("Lock file"),
        help_text=gettext_lazy("The text of a pixi.lock, conda-lock.yml or explicit file."),
        widget=forms.Textarea(attrs={"rows": 6, "class": "form-control mono", "spellcheck": "false"}),
    )
    schedule = forms.CharField(
        required=False,
        max_length=100,
        label=gettext_lazy("Runs by itself"),
        help_text=gettext_lazy("Five cron fields: 30 2 * * * is every night. Empty: by hand only."),
    )
    time_zone = forms.CharField(required=False, max_length=64, label=gettext_lazy("In the time zone"), initial="UTC")
    removed = forms.ChoiceField(choices=REMOVED, label=gettext_lazy("What the upstream removes"))
    replaced = forms.ChoiceField(choices=REPLACED, label=gettext_lazy("Other bytes under the same name"))
    denied = forms.ChoiceField(choices=DENIED, required=False, label=gettext_lazy("What policy denies"))

    def settings(self, before: Mirror | None = None) -> dict[str, Any]:
        """What `create_mirror` and `update_mirror` take."""
        given = self.cleaned_data
        more = [one.strip() for one in given["more_subdirs"].split(",") if one.strip()]
        made: dict[str, Any] = {
            "mode": given["mode"],
            "subdirs": [*given["subdirs"], *(one for one in more if one not in given["subdirs"])],
            "filters": self.filters(before.filters if before else None) if given["mode"] != MirrorMode.FULL else {},
            "schedule": given["schedule"].strip(),
            "time_zone": given["time_zone"].strip() or "UTC",
            "removed": given["removed"],
            "replaced": given["replaced"],
            "denied": given["denied"] or DeniedRule.BRING.value,
        }
        if given["lock"].strip():
            made["lock"] = given["lock"]
        return made

    def upstreams(self) -> list[UpstreamSpec]:
        """One a line of the address, with the same credentials."""
        given = self.cleaned_data
        kind = given["credential_kind"] or CredentialKind.NONE.value
        secret = given["secret"] or None
        urls = [line.strip() for line in given["url"].splitlines() if line.strip()]
        same = {"credential_kind": kind, "username": given["username"], "region": given["region"], "endpoint": given["endpoint"].strip()}
        return [UpstreamSpec(url=url, secret=secret, **same) for url in urls]

    @classmethod
    def values_of_mirror(cls, mirror: Mirror, upstreams: list[Upstream]) -> dict[str, Any]:
        first = upstreams[0] if upstreams else None
        return {
            **cls.values_of(mirror.filters),
            "url": "\n".join(one.url for one in upstreams),
            "credential_kind": first.credential_kind if first else CredentialKind.NONE.value,
            "username": first.username if first else "",
            "endpoint": first.endpoint if first else "",
            "region": first.region if first else "",
            "mode": mirror.mode,
            "subdirs": [name for name in mirror.subdirs if name in SUBDIRS],
            "more_subdirs": ", ".join(name for name in mirror.subdirs if name not in SUBDIRS),
            "schedule": mirror.schedule,
            "time_zone": mirror.time_zone,
            "removed": mirror.removed,
            "replaced": mirror.replaced,
            "denied": mirror.denied,
        }


class NewMirrorForm(MirrorForm):
    """The settings, with the channel that they fill."""

    organization = forms.CharField(
        max_length=64, label=gettext_lazy("Owner"), help_text=gettext_lazy("Whose members may use it, and whose quota it counts to.")
    )
    name = forms.CharField(
        max_length=64,
        label=gettext_lazy("Channel"),
        help_text=gettext_lazy("As clients name it: lower-case letters, digits, '-', '_' and '.'."),
    )
    visibility = forms.ChoiceField(
        choices=[
            ("private", gettext_lazy("Those who are given access")),
            ("internal", gettext_lazy("Everybody who is signed in")),
            ("public", gettext_lazy("Everybody")),
        ],
        label=gettext_lazy("Who may read it"),
        initial="internal",
    )
