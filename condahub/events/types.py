"""The one list of what the hub tells of: for each type its sentence, how grave it is, and who may hear of it."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from django.utils.translation import gettext_noop as _

from condahub.accounts.permissions import Permission

ANY_TYPE = "*"
# Who did what nobody asked for.
BY_THE_HUB = "the hub"


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class EventType:
    """One thing that can happen.

    sentence: with {fields}, each a key of the payload, or one of `object`, `actor`, `organization`.
    needed: what somebody must be allowed on the object to hear of it; asked again whenever it is told.
    unasked: who holds this by a role of their own finds it in the inbox without having subscribed; None for nobody.
    """

    name: str
    object_type: str
    description: str
    sentence: str
    needed: Permission
    severity: Severity = Severity.INFO
    unasked: Permission | None = None
    fields: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        found = [name for _, name, _, _ in string.Formatter().parse(self.sentence) if name is not None]
        object.__setattr__(self, "fields", tuple(dict.fromkeys(found)))

    def told(self, values: Mapping[str, object]) -> str:
        """The sentence. Raises ValueError for a payload without what it needs: a fault in the code that emits."""
        missing = [name for name in self.fields if name not in values]
        if missing:
            raise ValueError(f"An event of the type {self.name} needs {', '.join(missing)} in its payload.")
        return self.sentence.format_map({name: values[name] for name in self.fields})


_types: dict[str, EventType] = {}


def register(event_type: EventType) -> EventType:
    """Add a type to the list; an app with types of its own does so in `AppConfig.ready`."""
    if _types.setdefault(event_type.name, event_type) != event_type:
        raise ValueError(f"The event type '{event_type.name}' is registered twice.")
    return event_type


def type_named(name: str) -> EventType:
    """Raises LookupError for a type that this hub does not know."""
    try:
        return _types[name]
    except KeyError:
        raise LookupError(f"No app registers the event type '{name}'.") from None


def known_types() -> list[EventType]:
    """All of them, by name."""
    return [_types[name] for name in sorted(_types)]


P = Permission

for _type in (
    EventType(
        "package.published", "package", _("A package came into a channel."), _("{actor} published {object} in {channel}."), P.CHANNEL_READ
    ),
    EventType(
        "package.changed",
        "package",
        _("A package was deleted, yanked, restored, put on hold, released or purged."),
        _("{object} in {channel} is {state} now, by {actor}."),
        P.CHANNEL_READ,
    ),
    EventType(
        "channel.deleted",
        "channel",
        _("A channel was deleted."),
        _("{actor} deleted the channel {object}."),
        P.CHANNEL_READ,
        Severity.WARNING,
        P.CHANNEL_UPDATE,
    ),
    EventType(
        "mirror.failed",
        "mirror",
        _("A sync failed; what was served before is still served."),
        _("The sync of {object} failed: {reason}"),
        P.MIRROR_READ,
        Severity.ERROR,
        P.MIRROR_UPDATE,
    ),
    EventType(
        "mirror.partial",
        "mirror",
        _("A sync ended without some of the packages."),
        _("The sync of {object} left out {count} packages: {reason}"),
        P.MIRROR_READ,
        Severity.WARNING,
        P.MIRROR_UPDATE,
    ),
    EventType(
        "mirror.held",
        "mirror",
        _("A sync waits for approval, since the upstream changed in a way that it should not."),
        _("The sync of {object} waits for approval: {reason}"),
        P.MIRROR_READ,
        Severity.WARNING,
        P.MIRROR_UPDATE,
    ),
    EventType(
        "mirror.same_name_new_bytes",
        "mirror",
        _("The upstream has other bytes under a name that was mirrored before; both are kept."),
        _("The upstream of {object} changed the bytes of {filename}; both are kept."),
        P.MIRROR_READ,
        Severity.ERROR,
        P.MIRROR_UPDATE,
    ),
    EventType(
        "request.asked",
        "request",
        _("Somebody asks for a package that is not shown."),
        _("{actor} asks for {object} in {channel}: {reason}"),
        P.PACKAGE_HOLD,
        Severity.INFO,
        P.PACKAGE_HOLD,
    ),
    EventType(
        "request.answered",
        "request",
        _("A request for a package was approved or refused."),
        _("The request for {object} in {channel} was {answer}: {reason}"),
        P.CHANNEL_READ,
    ),
    EventType("build.finished", "build", _("An environment was built."), _("{object} was built."), P.BUILD_READ),
    EventType(
        "build.failed",
        "build",
        _("An environment could not be built."),
        _("{object} could not be built: {reason}"),
        P.BUILD_READ,
        Severity.ERROR,
    ),
    EventType(
        "quota.near",
        "organization",
        _("An organization holds nine tenths of its quota."),
        _("{object} holds {percent} % of its quota ({used_bytes} of {quota_bytes} bytes)."),
        P.ORGANIZATION_UPDATE,
        Severity.WARNING,
        P.ORGANIZATION_UPDATE,
    ),
    EventType(
        "quota.exceeded",
        "organization",
        _("An organization's quota is used up; nothing more can be published in it."),
        _("{object} has used up its quota ({used_bytes} of {quota_bytes} bytes)."),
        P.ORGANIZATION_UPDATE,
        Severity.ERROR,
        P.ORGANIZATION_UPDATE,
    ),
    EventType(
        "token.expiring",
        "token",
        _("An API token ends within a week. Its owner is told; of a robot's, the organization's owners."),
        _("The API token '{object}' of {owner} ends at {expires_at}."),
        P.TOKEN_READ,
        Severity.WARNING,
        P.TOKEN_READ,
    ),
    EventType(
        "worker.silent",
        "worker",
        _("No worker of a lane has been heard of for two minutes: its jobs wait. For staff."),
        _("No worker serves the {object} lane: its jobs wait."),
        P.HUB_OPERATE,
        Severity.ERROR,
        P.HUB_OPERATE,
    ),
    EventType(
        "webhook.paused",
        "webhook",
        _("A webhook was paused, since its receiver has not taken anything for days."),
        _("The webhook to {object} was paused: it has failed since {since}."),
        P.ORGANIZATION_UPDATE,
        Severity.WARNING,
        P.ORGANIZATION_UPDATE,
    ),
    EventType(
        "webhook.test",
        "webhook",
        _("Somebody tries a webhook; sent to that one alone."),
        _("{actor} tries the webhook to {object}."),
        P.ORGANIZATION_UPDATE,
    ),
):
    register(_type)
