"""What policy says today of bytes that somebody asks for, remembered so that a file just served costs no query."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime

from django.utils import timezone

from channels_app.models import Channel, Effect
from channels_app.policies.evaluate import Judge, Verdict
from channels_app.policies.view import judge_of, verdict_on
from condahub.errors import Forbidden

REMEMBERED_JUDGES = 256
REMEMBERED_VERDICTS = 65_536

_lock = threading.Lock()
# By channel, at its generation: an edit of policy moves that.
_judges: OrderedDict[int, tuple[int, Judge]] = OrderedDict()
_verdicts: OrderedDict[tuple[int, int], tuple[datetime | None, Verdict]] = OrderedDict()


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
    with _lock:
        found = _verdicts.get(key)
        if found is not None and (found[0] is None or now < found[0]):
            return found[1]
    made = _judged(channel_id, generation, file_id, now)
    with _lock:
        _verdicts[key] = (made.changes_at, made)
        _verdicts.move_to_end(key)
        while len(_verdicts) > REMEMBERED_VERDICTS:
            _verdicts.popitem(last=False)
    return made


def _judged(channel_id: int, generation: int, file_id: int, now: datetime) -> Verdict:
    return verdict_on(_judge(channel_id, generation), file_id, now)


def _judge(channel_id: int, generation: int) -> Judge:
    with _lock:
        found = _judges.get(channel_id)
        if found is not None and found[0] == generation:
            return found[1]
    made = judge_of(Channel.objects.get(pk=channel_id))
    with _lock:
        _judges[channel_id] = (generation, made)
        _judges.move_to_end(channel_id)
        while len(_judges) > REMEMBERED_JUDGES:
            _judges.popitem(last=False)
    return made


def forget_all() -> None:
    """For tests: a process that has just started remembers nothing."""
    with _lock:
        _judges.clear()
        _verdicts.clear()
