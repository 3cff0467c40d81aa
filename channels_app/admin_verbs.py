"""What staff do to many channels and files at once in the admin, through the services."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget

from channels_app.models import Channel, PackageFile
from channels_app.services import channels, owners, reindexing
from channels_app.services.states import PURGE, QUARANTINE, RELEASE, RESTORE, YANK, change_state
from channels_app.services.states import Verb as StateVerb
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor
from condahub.adminsite.confirming import Many, NoQuestions, Outcome, QuotaForm, ReasonForm, Verb
from condahub.errors import HubError


class OwnerForm(forms.Form):
    organization = forms.ModelChoiceField(
        queryset=Organization.objects.none(), widget=UnfoldAdminSelectWidget, help_text="Of this one they will be."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice = self.fields["organization"]
        assert isinstance(choice, forms.ModelChoiceField)
        choice.queryset = Organization.objects.filter(deleted_at__isnull=True).order_by("name")


def _quota(actor: Actor, channel: Channel, values: dict[str, Any]) -> None:
    channels.update_channel(actor=actor, channel=channel, changes={"quota_bytes": values["quota_bytes"]})


def _owner(actor: Actor, channel: Channel, values: dict[str, Any]) -> None:
    owners.change_owner(actor=actor, channel=channel, organization=values["organization"])


def _reindex(actor: Actor, channel: Channel, values: dict[str, Any]) -> None:
    reindexing.ask_reindex(actor=actor, channel=channel)


def _verify(actor: Actor, channel: Channel, values: dict[str, Any]) -> None:
    reindexing.ask_verify(actor=actor, channel=channel)


CHANNEL_VERBS = (
    Verb("reindex", "Reindex", "A job each makes the index anew from the channel's files; a right one stays as it is.", _reindex),
    Verb("verify", "Verify", "A job each reads all bytes of the channel, and fails where they are not those that were published.", _verify),
    Verb("quota", "Set quota", "They may hold so many bytes each; what they hold already stays.", _quota, form=QuotaForm),
    Verb(
        "change_owner",
        "Change owner",
        "They go to another organization with their names and packages; addresses stay. Grants on them are dropped.",
        _owner,
        form=OwnerForm,
        dangerous=True,
    ),
)


def _by_state(state_verb: StateVerb) -> Many:
    """All files of a channel in one change and so one revision; where that is refused, each by itself, so that one keeps no other."""

    def many(actor: Actor, rows: Sequence[PackageFile], values: dict[str, Any]) -> Iterable[Outcome]:
        by_channel: dict[int, list[PackageFile]] = defaultdict(list)
        for row in rows:
            by_channel[row.channel_id].append(row)
        reason = str(values.get("reason", ""))
        for files in by_channel.values():
            if _change(actor, state_verb, files, reason) is None:
                yield from ((file, None) for file in files)
            else:
                yield from ((file, _change(actor, state_verb, [file], reason)) for file in files)

    return many


def _change(actor: Actor, state_verb: StateVerb, files: Sequence[PackageFile], reason: str) -> HubError | None:
    keys = [(file.subdir, file.filename) for file in files]
    try:
        change_state(actor=actor, channel=files[0].channel, verb=state_verb, files=keys, reason=reason)
    except HubError as error:
        return error
    return None


def _file_verb(label: str, explains: str, state_verb: StateVerb, form: type[forms.Form] = NoQuestions, *, dangerous: bool = False) -> Verb:
    return Verb(label.lower(), label, explains, many=_by_state(state_verb), form=form, dangerous=dangerous)


FILE_VERBS = (
    _file_verb("Quarantine", "Nobody is shown or given them until they are released.", QUARANTINE, ReasonForm),
    _file_verb("Release", "What was quarantined is shown again.", RELEASE),
    _file_verb("Yank", "They leave the index; who names their address still gets them.", YANK),
    _file_verb("Restore", "What was yanked or deleted is shown again.", RESTORE),
    _file_verb(
        "Purge",
        "Their bytes go from every revision for ever, and all that was ever published under the same names.",
        PURGE,
        ReasonForm,
        dangerous=True,
    ),
)
