"""What the pages of environments ask for, and how it becomes a specification or settings."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any

import yaml
from django import forms
from django.conf import settings as hub_settings
from django.utils.text import format_lazy
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy

from condahub.errors import Unprocessable
from condahub.portal.forms import HubForm, role_choices
from environments_app.services.choices import Choices
from environments_app.services.environments import MAX_DESCRIPTION_CHARS
from environments_app.spec import MAX_LOCK_SPEC_BYTES, Spec, read_environment
from environments_app.spec.conda import PLATFORMS

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

MAX_FIELD_CHARS = 200_000
MAX_WORD_CHARS = 500
FIELDS, YAML, LOCK = "fields", "yaml", "lock"
WAYS = ((FIELDS, gettext_lazy("By fields")), (YAML, gettext_lazy("As YAML")), (LOCK, gettext_lazy("From a lock file")))
VISIBILITIES = [
    ("private", gettext_lazy("Private: those who are given access")),
    ("internal", gettext_lazy("Internal: everybody who is signed in")),
    ("public", gettext_lazy("Public: everybody, without signing in")),
]
EXAMPLE = """name: tools
channels:
  - conda-forge
dependencies:
  - python 3.12.*
  - numpy >=2
"""


def _text(
    label: StrOrPromise, help_text: StrOrPromise, rows: int, *, most: int = MAX_FIELD_CHARS, placeholder: str = ""
) -> forms.CharField:
    attrs = {"rows": rows, "class": "form-control mono", "spellcheck": "false", "autocapitalize": "off", "placeholder": placeholder}
    # Spaces at the front are what YAML is made of.
    return forms.CharField(
        required=False, label=label, help_text=help_text, widget=forms.Textarea(attrs=attrs), max_length=most, strip=False
    )


def _line(label: Any, help_text: Any) -> forms.CharField:
    widget = forms.TextInput(attrs={"class": "form-control mono", "autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"})
    return forms.CharField(required=False, max_length=4000, label=label, help_text=help_text, widget=widget)


class SpecForm(HubForm):
    """A specification in three ways; `way` says which of them counts."""

    way = forms.ChoiceField(choices=WAYS, initial=FIELDS, required=False, widget=forms.HiddenInput)
    organization = forms.CharField(
        max_length=64, required=False, label=gettext_lazy("Owner"), help_text=gettext_lazy("Whose settings, limits and quota hold.")
    )
    name = forms.CharField(
        max_length=64,
        required=False,
        label=gettext_lazy("Name"),
        help_text=gettext_lazy("Part of its address: lower-case letters, digits, '-', '_' and '.'."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    channels = _text(
        gettext_lazy("Channels"), gettext_lazy("Of this hub, by name, one a line; the first comes first."), 2, placeholder="conda-forge"
    )
    packages = _text(gettext_lazy("Packages"), gettext_lazy("One a line, as conda reads them."), 7, placeholder="python 3.12.*\nnumpy >=2")
    pip = _text(gettext_lazy("From pip"), gettext_lazy("Requirements, one a line; resolved against the conda packages."), 3)
    platforms = forms.MultipleChoiceField(
        choices=[(name, name) for name in PLATFORMS],
        required=False,
        label=gettext_lazy("Platforms"),
        help_text=gettext_lazy("None ticked: what the settings say."),
        widget=forms.CheckboxSelectMultiple({"class": "form-check-input"}),
    )
    yaml = _text("environment.yml", "", 20, placeholder=EXAMPLE)
    lock = _text(
        gettext_lazy("Lock file"),
        gettext_lazy("The text of a pixi.lock, conda-lock.yml or @EXPLICIT file: built exactly so."),
        14,
        most=MAX_LOCK_SPEC_BYTES,
    )
    upload = forms.FileField(required=False, label=gettext_lazy("or choose the file"), widget=forms.FileInput())
    find = forms.CharField(max_length=100, required=False, label=gettext_lazy("Find a package"))
    update = _line(
        gettext_lazy("Update only"), gettext_lazy("Names of packages, all others stay at the current build's versions where that goes.")
    )
    keep = _line(
        gettext_lazy("Keep as they are"),
        gettext_lazy("Names of packages that stay what they are in the current build, whatever else it costs."),
    )
    exclude_newer = forms.DateField(
        required=False,
        label=gettext_lazy("Nothing newer than"),
        help_text=gettext_lazy("Packages that were made after this day (UTC) are not chosen."),
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
    )

    @property
    def the_way(self) -> str:
        way = str(self.data.get("way") or "") if self.is_bound else str(self.initial.get("way") or "")
        return way if way in (FIELDS, YAML, LOCK) else FIELDS

    def text(self) -> str:
        """The specification as text, in whatever way it was given. After `is_valid`."""
        given = self.cleaned_data
        if self.the_way == YAML:
            return _lines_end(given["yaml"])
        if self.the_way == LOCK:
            upload = given.get("upload")
            if upload is None:
                return _lines_end(given["lock"])
            if upload.size > MAX_LOCK_SPEC_BYTES:
                raise Unprocessable(
                    gettext("The lock file is too large."),
                    hint=gettext("At most %(number)s MiB.") % {"number": MAX_LOCK_SPEC_BYTES // 2**20},
                )
            try:
                return str(upload.read().decode())
            except UnicodeDecodeError:
                raise Unprocessable(
                    gettext("The lock file is no text in UTF-8."), hint=gettext("Choose a pixi.lock, conda-lock.yml or explicit file.")
                ) from None
        return text_of_fields(given)

    def choices(self) -> Choices:
        """What the next build updates and keeps, in the ways that leave something to choose. After `is_valid`."""
        given = self.cleaned_data
        if self.the_way == LOCK:
            return Choices()
        day = given["exclude_newer"]
        return Choices(
            exclude_newer=datetime.combine(day, time.max, UTC) if day else None,
            update=_names(given["update"]),
            keep=_names(given["keep"]),
        )


def _names(text: str) -> list[str]:
    return text.replace(",", " ").split()


def text_of_fields(given: dict[str, Any]) -> str:
    """An environment.yml of what the fields say."""
    pip = entries(given["pip"])
    document: dict[str, Any] = {}
    if given["name"].strip():
        document["name"] = given["name"].strip()
    document["channels"] = entries(given["channels"])
    document["dependencies"] = [*entries(given["packages"]), *([{"pip": pip}] if pip else [])]
    if given["platforms"]:
        document["platforms"] = list(given["platforms"])
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10_000)


def fields_of_text(text: str) -> dict[str, Any]:
    """What the fields show of an environment.yml. Raises SpecInvalid, Unprocessable where they can't show all of it."""
    spec = read_environment(text, public_url=hub_settings.CONDAHUB_PUBLIC_URL)
    if _says_more(spec):
        raise Unprocessable(
            gettext("The fields can't show all that this YAML says."), code="more_than_fields", hint=gettext("Go on editing it as YAML.")
        )
    return {
        "name": spec.name,
        "channels": "\n".join(line.text for line in spec.channels),
        "packages": "\n".join(line.text for line in spec.dependencies),
        "pip": "\n".join(line.text for line in spec.pip),
        "platforms": [line.text for line in spec.platforms],
    }


def _says_more(spec: Spec) -> bool:
    options = spec.pip_options
    return bool(spec.variables or spec.description or options.index_url or options.extra_index_urls or options.pre)


def entries(text: str) -> list[str]:
    """The lines of a field, without empty ones, comments and the dashes of who copied them out of YAML."""
    lines = (line.strip().removeprefix("- ").strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _lines_end(text: str) -> str:
    """A browser sends CRLF; a specification is the same text from wherever it comes."""
    return text.replace("\r\n", "\n")


class EnvironmentForm(HubForm):
    description = forms.CharField(
        required=False,
        label=pgettext_lazy("environment", "What it is for"),
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=MAX_DESCRIPTION_CHARS,
    )
    visibility = forms.ChoiceField(choices=VISIBILITIES, label=gettext_lazy("Who may use it"))


_LISTS = (
    ("default_channels", gettext_lazy("Channels where none are named"), ""),
    ("allowed_channels", gettext_lazy("Channels that may be named"), gettext_lazy("Empty: all that their readers may read.")),
    ("required_channels", gettext_lazy("Channels that are always added"), ""),
    ("default_packages", gettext_lazy("Packages where none are named"), ""),
    ("included_packages", gettext_lazy("Packages that are always added"), ""),
    ("required_packages", gettext_lazy("Packages that must be asked for"), ""),
    (
        "default_platforms",
        gettext_lazy("Platforms where none are named"),
        format_lazy(gettext_lazy("Of {platforms}."), platforms=", ".join(PLATFORMS)),
    ),
    ("allowed_platforms", gettext_lazy("Platforms that may be named"), gettext_lazy("Empty: all.")),
    ("allowed_pip_indexes", gettext_lazy("Indexes that pip lines may name"), gettext_lazy("Addresses, one a line.")),
    ("artifacts", gettext_lazy("Made at once after a build"), "archive, archive-zstd, installer."),
)
_IN_A_SANDBOX = [("yes", gettext_lazy("yes, in a sandbox (IT alone, for all)")), ("no", gettext_lazy("no"))]
_FLAGS = ("pip_allowed", "link_scripts_allowed", "sdists_allowed")
_CHOICES = (
    (
        "rebuild",
        gettext_lazy("It is looked at again by itself"),
        [
            ("never", gettext_lazy("never")),
            ("cron", gettext_lazy("by the clock")),
            ("when_newer", gettext_lazy("when a channel has newer packages")),
        ],
    ),
    (
        "channel_priority",
        gettext_lazy("Where several channels have a package"),
        [("strict", gettext_lazy("the first one's alone")), ("disabled", gettext_lazy("the newest of all"))],
    ),
    (
        "retention_then",
        gettext_lazy("Builds that are let go of are"),
        [("archive", gettext_lazy("archived to their lock")), ("delete", gettext_lazy("deleted"))],
    ),
    ("pip_allowed", gettext_lazy("pip is allowed"), [("yes", gettext_lazy("yes")), ("no", gettext_lazy("no"))]),
    ("link_scripts_allowed", gettext_lazy("Scripts that packages bring run when they are linked"), _IN_A_SANDBOX),
    ("sdists_allowed", gettext_lazy("What pip finds as a source distribution alone is built"), _IN_A_SANDBOX),
)
_WORDS = (
    ("rebuild_cron", gettext_lazy("By which clock"), gettext_lazy("Five cron fields: 0 3 * * 1 is every Monday at three.")),
    ("rebuild_time_zone", gettext_lazy("In the time zone"), gettext_lazy("Such as Europe/Berlin.")),
    ("pip_index", gettext_lazy("Index of pip lines that name none"), gettext_lazy("An address; it must be among those that may be named.")),
)
_LIMITS = (
    ("retention_keep_last", gettext_lazy("The newest builds that are kept")),
    ("retention_days", gettext_lazy("Days that a build is kept")),
    ("solve_seconds", gettext_lazy("Seconds for solving")),
    ("build_seconds", gettext_lazy("Seconds for a build")),
    ("memory_bytes", gettext_lazy("Bytes of memory for a build")),
    ("environment_bytes", gettext_lazy("Bytes that it may have")),
    ("concurrent_builds", gettext_lazy("Builds of an organization at once")),
)


_GROUPS = (
    (gettext_lazy("Again by itself"), ("rebuild", "rebuild_cron", "rebuild_time_zone")),
    (gettext_lazy("How long builds are kept"), ("retention_keep_last", "retention_days", "retention_then")),
    (
        gettext_lazy("Channels and packages"),
        ("default_channels", "allowed_channels", "required_channels", "default_packages", "included_packages", "required_packages"),
    ),
    (
        gettext_lazy("How it is built"),
        (
            "channel_priority",
            "default_platforms",
            "allowed_platforms",
            "virtual_packages",
            *_FLAGS,
            "pip_index",
            "allowed_pip_indexes",
            "artifacts",
        ),
    ),
    (gettext_lazy("Limits"), ("solve_seconds", "build_seconds", "memory_bytes", "environment_bytes", "concurrent_builds")),
)


class PolicyForm(HubForm):
    """The settings of the level of one environment; empty is what the levels above say."""

    virtual_packages = _text(gettext_lazy("Virtual packages"), gettext_lazy("One a line, such as __cuda 12.4."), 2)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label, help_text in _LISTS:
            self.fields[name] = _text(label, help_text, 2)
        for name, label, choices in _CHOICES:
            widget = forms.Select({"class": "form-select"})
            self.fields[name] = forms.ChoiceField(
                choices=[("", gettext_lazy("as above")), *choices], required=False, label=label, widget=widget
            )
        for name, label, help_text in _WORDS:
            line = forms.TextInput({"class": "form-control mono"})
            self.fields[name] = forms.CharField(required=False, max_length=MAX_WORD_CHARS, label=label, help_text=help_text, widget=line)
        for name, label in _LIMITS:
            self.fields[name] = forms.IntegerField(
                required=False, min_value=1, label=label, widget=forms.NumberInput({"class": "form-control"})
            )

    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        return [(str(legend), [self[name] for name in names]) for legend, names in _GROUPS]

    @staticmethod
    def values_of(own: dict[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = {name: "\n".join(own.get(name) or []) for name, _, _ in _LISTS}
        shown |= {name: own.get(name) for name, *_ in (*_LIMITS, *_WORDS, *_CHOICES)}
        shown["virtual_packages"] = "\n".join(f"{name} {version}" for name, version in (own.get("virtual_packages") or {}).items())
        shown |= {name: {True: "yes", False: "no"}.get(own.get(name), "") for name in _FLAGS}  # type: ignore[arg-type]
        return shown

    def changes(self) -> dict[str, Any]:
        """What `change_settings` takes; None takes a setting away."""
        given = self.cleaned_data
        made: dict[str, Any] = {name: entries(given[name]) or None for name, _, _ in _LISTS}
        made |= {name: given[name] or None for name, *_ in (*_LIMITS, *_WORDS, *_CHOICES)}
        pairs = [line.partition(" ") for line in entries(given["virtual_packages"])]
        made["virtual_packages"] = {name: version.strip() for name, _, version in pairs} or None
        made |= {name: {"yes": True, "no": False}.get(given[name]) for name in _FLAGS}
        return made


class GrantForm(HubForm):
    """A role for a person or a team, by exact names: a list of all is nobody's to see."""

    user = forms.CharField(
        max_length=150, required=False, label=gettext_lazy("User name"), widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    team = forms.CharField(
        max_length=130,
        required=False,
        label=gettext_lazy("or team"),
        help_text=gettext_lazy("One of another organization as organization/team."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    role = forms.ChoiceField(choices=role_choices, label=gettext_lazy("Role"))

    def asked(self) -> dict[str, str]:
        """What `give_role` takes."""
        given = self.cleaned_data
        organization, _, team = given["team"].strip().rpartition("/")
        return {"user": given["user"].strip(), "team": team, "organization": organization, "role": given["role"]}
