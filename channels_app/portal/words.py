"""The words that pages have for what channels, files and rules are stored as."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from channels_app.models import ChannelKind, FileState, PolicyLevel, RequestState, Severity
from condahub.accounts.permissions import Visibility

VISIBILITIES = {Visibility.PUBLIC: _("Public"), Visibility.INTERNAL: _("Internal"), Visibility.PRIVATE: _("Private")}
VISIBILITIES_INSIDE: dict[str, Promise] = {
    Visibility.PUBLIC: _("public"),
    Visibility.INTERNAL: _("internal"),
    Visibility.PRIVATE: _("private"),
}
KINDS = {
    ChannelKind.HOSTED: _("Hosted"),
    ChannelKind.MIRROR: _("Mirror"),
    ChannelKind.PROXY: _("Proxy"),
    ChannelKind.VIRTUAL: _("Virtual"),
}
FILE_STATES: dict[str, Promise] = {
    FileState.LIVE: pgettext_lazy("file", "live"),
    FileState.YANKED: pgettext_lazy("file", "yanked"),
    FileState.HELD: pgettext_lazy("file", "held"),
    FileState.DELETED: pgettext_lazy("file", "deleted"),
    FileState.PURGED: pgettext_lazy("file", "purged"),
    FileState.ASIDE: pgettext_lazy("file", "aside"),
}
LEVELS: dict[str, Promise] = {
    PolicyLevel.INSTALLATION: pgettext_lazy("level of rules", "installation"),
    PolicyLevel.ORGANIZATION: pgettext_lazy("level of rules", "organization"),
    PolicyLevel.CHANNEL: pgettext_lazy("level of rules", "channel"),
}
RULES = {
    "cooldown": pgettext_lazy("rule", "cooldown"),
    "licenses": pgettext_lazy("rule", "licenses"),
    "names": pgettext_lazy("rule", "names"),
    "size": pgettext_lazy("rule", "size"),
    "advisories": pgettext_lazy("rule", "advisories"),
    "attestation": pgettext_lazy("rule", "attestation"),
}
SEVERITIES: dict[str, Promise] = {
    Severity.LOW: pgettext_lazy("severity", "low"),
    Severity.MEDIUM: pgettext_lazy("severity", "medium"),
    Severity.HIGH: pgettext_lazy("severity", "high"),
    Severity.CRITICAL: pgettext_lazy("severity", "critical"),
    Severity.UNKNOWN: pgettext_lazy("severity", "unknown"),
}
OR_GRAVER = {
    Severity.LOW: _("low or graver"),
    Severity.MEDIUM: _("medium or graver"),
    Severity.HIGH: _("high or graver"),
    Severity.CRITICAL: _("critical or graver"),
}
REQUEST_STATES = {RequestState.ASKED: _("Asked"), RequestState.APPROVED: _("Approved"), RequestState.REFUSED: _("Refused")}
