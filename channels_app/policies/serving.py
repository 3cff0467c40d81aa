"""What policy says today of bytes that somebody asks for, remembered so that a file just served costs no query."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from channels_app.models import Channel, Effect
from channels_app.policies.evaluate import Judge, Verdict
from channels_app.policies.view import judge_of, verdict_on
from condahub.errors import Forbidden
from condahub.remembering import Remembered

REMEMBERED_JUDGES = 256
REMEMBERED_VERDICTS = 65_536

# By channel, at its generation: an edit of policy moves that.
_judges: Remembered[int, tuple[int, Judge]] = Remembered(REMEMBERED_JUDGES)
_verdicts: Remembered[tuple[int, int], tuple[datetime | None, Verdict]] = Remembered(REMEMBERED_VERDICTS)


def require_open(*, channel_id: int, generation: int, file_id: int, filename: str, is_past: bool) -> None:
    """Raise Forbidden for bytes that policy keeps closed now.

    Denied ones are closed at every address. A held file is closed at the head alone: a past revision shows it as it did.
    To be called where the channel's door says `has_policy`.
    """
    found = _verdict(channel_id, generation, file_id)
    if found.effect == Effect.DENY:
        raise Forbidden(f"'{filename}' is denied by policy. {found.reason}", code="policy_denied", hint=_HINT)
    if found.effect == Effect.HOLD and not is_past:
        raise Forbidden(f"'{filename}' is held by policy. {found.reason}", code="held", hint=_HINT)


_HINT = "Ask for it: condahub request ask CHANNEL SPEC."


def _verdict(channel_id: int, generation: int, file_id: int) -> Verdict:
    now = timezone.now()
    key = (generation, file_id)
    found = _verdicts.get(key)
    if found is not None and (found[0] is None or now < found[0]):
        return found[1]
    made = _judged(channel_id, generation, file_id, now)
    _verdicts.put(key, (made.changes_at, made))
    return made


def _judged(channel_id: int, generation: int, file_id: int, now: datetime) -> Verdict:
    return verdict_on(_judge(channel_id, generation), file_id, now)


def _judge(channel_id: int, generation: int) -> Judge:
    found = _judges.get(channel_id)
    if found is not None and found[0] == generation:
        return found[1]
    made = judge_of(Channel.objects.get(pk=channel_id))
    _judges.put(channel_id, (generation, made))
    return made


def forget_all() -> None:
    """For tests: a process that has just started remembers nothing."""
    _judges.forget_all()
    _verdicts.forget_all()
