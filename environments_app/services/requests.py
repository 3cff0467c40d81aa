"""From what a person asked for to what is solved: settings applied, channels found with the person's own rights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings as django_settings

from channels_app.models import Channel
from channels_app.selectors import channel_for
from condahub.accounts.policy import Actor, Permission
from condahub.engine.lock_reading import ForeignLock
from condahub.engine.versions import exact_name, parse_spec
from condahub.errors import Forbidden, NotAuthenticated
from environments_app.services.locked import find_channels
from environments_app.services.policies import Merged
from environments_app.spec import Line, Problem, Spec, SpecInvalid


@dataclass(frozen=True)
class Request:
    """What is solved. channels: in the order of their priority."""

    channels: tuple[Channel, ...]
    dependencies: tuple[str, ...]
    pip: tuple[str, ...]
    platforms: tuple[str, ...]
    notes: tuple[Line, ...]
    values: dict[str, Any]


def request_for(actor: Actor, spec: Spec, merged: Merged) -> Request:
    """Raises SpecInvalid with the lines that policy or rights do not allow."""
    if spec.locked is not None:
        return _locked_request(actor, spec, spec.locked, merged)
    problems: list[Problem] = []
    channels = _channels(actor, spec, merged, problems)
    dependencies = _dependencies(spec, merged, problems)
    platforms = _platforms(spec, merged, problems)
    _check_pip(spec, merged, problems)
    if problems:
        raise SpecInvalid(sorted(problems, key=lambda problem: problem.line))
    pip = tuple(line.text for line in spec.pip)
    values = {
        "channels": [channel.name for channel in channels],
        "dependencies": list(dependencies),
        "pip": list(pip),
        "pip_options": {**spec.canonical()["pip_options"], "index_url": _index(spec, merged)},
        "platforms": list(platforms),
        "variables": dict(sorted(spec.variables.items())),
        "virtual_packages": dict(sorted(merged.virtual_packages.items())),
        "artifacts": sorted(merged.artifacts),
    }
    if merged.channel_priority != Merged.channel_priority:
        values["channel_priority"] = merged.channel_priority
    return Request(tuple(channels), dependencies, pip, platforms, spec.notes, values)


def _locked_request(actor: Actor, spec: Spec, locked: ForeignLock, merged: Merged) -> Request:
    problems: list[Problem] = []
    platforms = _platforms(spec, merged, problems)
    names = {package.name for package in locked.packages}
    needed = (text for text in (*merged.required_packages, *merged.included_packages) if _name(text) not in names)
    problems.extend(
        Problem(0, "package_required", f"'{text}' must be in the lock file here.", "Add it, and lock again.") for text in needed
    )
    if any(platform.pypi for platform in locked.platforms.values()) and not merged.pip_allowed:
        problems.append(Problem(0, "pip_not_allowed", "pip requirements are not allowed here.", "Use conda packages."))
    named = [line.text for line in spec.channels]
    channels = find_channels(
        actor, locked, (*named, *merged.default_channels, *merged.required_channels), merged.allowed_channels, problems
    )
    if problems:
        raise SpecInvalid(problems)
    values = {
        "channels": [channel.name for channel in channels],
        "dependencies": [],
        "pip": [],
        # Where wheels are looked for that the organization does not have yet.
        "pip_options": {**spec.canonical()["pip_options"], "index_url": merged.pip_index if _is_allowed(merged.pip_index, merged) else ""},
        "platforms": list(platforms),
        "variables": {},
        "virtual_packages": {},
        "artifacts": sorted(merged.artifacts),
    }
    return Request(tuple(channels), (), (), platforms, spec.notes, values)


def _channels(actor: Actor, spec: Spec, merged: Merged, problems: list[Problem]) -> list[Channel]:
    wanted = list(spec.channels) or [Line(name, 0) for name in merged.default_channels]
    named = {line.text for line in wanted}
    wanted += [Line(name, 0) for name in merged.required_channels if name not in named]
    if not wanted and (spec.dependencies or merged.included_packages):
        problems.append(Problem(0, "no_channel", "No channel is named.", "Add 'channels:' with at least one channel of this hub."))
    found: dict[int, Channel] = {}
    for line in wanted:
        try:
            channel = channel_for(actor, line.text, Permission.CHANNEL_READ)
        except (Forbidden, NotAuthenticated):
            hint = "Channels are those of this hub; IT can mirror one, an owner can let you read one."
            problems.append(Problem(line.line, "no_such_channel", f"There is no channel '{line.text}' that you may read.", hint))
            continue
        if merged.allowed_channels is not None and channel.name not in merged.allowed_channels:
            hint = f"Allowed: {', '.join(sorted(merged.allowed_channels)) or 'none'}."
            problems.append(Problem(line.line, "channel_not_allowed", f"The channel '{line.text}' is not allowed here.", hint))
        found.setdefault(channel.pk, channel)
    return list(found.values())


def _dependencies(spec: Spec, merged: Merged, problems: list[Problem]) -> tuple[str, ...]:
    asked = [line.text for line in spec.dependencies]
    if not asked and not spec.pip:
        asked = list(merged.default_packages)
    named = {_name(text) for text in asked}
    missing = (text for text in merged.required_packages if _name(text) not in named)
    problems.extend(Problem(0, "package_required", f"'{text}' must be among the dependencies here.", "Add it.") for text in missing)
    return (*asked, *(text for text in merged.included_packages if _name(text) not in named))


def _platforms(spec: Spec, merged: Merged, problems: list[Problem]) -> tuple[str, ...]:
    wanted = list(spec.platforms) or [Line(name, 0) for name in merged.default_platforms]
    for line in wanted:
        if merged.allowed_platforms is not None and line.text not in merged.allowed_platforms:
            hint = f"Allowed: {', '.join(sorted(merged.allowed_platforms)) or 'none'}."
            problems.append(Problem(line.line, "platform_not_allowed", f"The platform '{line.text}' is not allowed here.", hint))
    return tuple(line.text for line in wanted)


def _check_pip(spec: Spec, merged: Merged, problems: list[Problem]) -> None:
    if not spec.pip:
        return
    if not merged.pip_allowed:
        problems.append(Problem(spec.pip[0].line, "pip_not_allowed", "pip requirements are not allowed here.", "Use conda packages."))
        return
    if not _index(spec, merged):
        hint = "Name one with '--index-url', or ask IT for the setting 'pip_index'."
        problems.append(Problem(spec.pip[0].line, "no_pip_index", "This hub knows no index of pip packages for this.", hint))
    addresses = [_index(spec, merged), *spec.pip_options.extra_index_urls]
    refused = ("index_not_allowed", "This index of pip packages is not allowed here.", "Use an index of this hub, or ask IT.")
    problems.extend(Problem(spec.pip[0].line, *refused) for address in addresses if address and not _is_allowed(address, merged))


def _is_allowed(address: str, merged: Merged) -> bool:
    own = f"{django_settings.CONDAHUB_PUBLIC_URL}/pypi/"
    return address.startswith(own) or address.rstrip("/") in (merged.allowed_pip_indexes or frozenset())


def _index(spec: Spec, merged: Merged) -> str:
    """The index of the specification, else that of the settings; '' without pip requirements."""
    return (spec.pip_options.index_url or merged.pip_index) if spec.pip else spec.pip_options.index_url


def _name(text: str) -> str:
    return exact_name(parse_spec(text)) or text
