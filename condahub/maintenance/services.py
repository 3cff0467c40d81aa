"""Set and clear the notice and the read-only mode."""

from __future__ import annotations

from django.db import transaction

from condahub.accounts.policy import HUB, Actor, Permission, require
from condahub.audit.services import record
from condahub.errors import Unprocessable
from condahub.maintenance import selectors
from condahub.maintenance.models import MAX_TEXT_CHARS, THE_ONE, Level, SiteNotice


def set_notice(*, actor: Actor, text: str, level: str = Level.INFO, read_only: bool = False) -> SiteNotice:
    """Tell everybody, and take changes or refuse them; an empty text tells nothing. It acts within 5 s in every process.

    Raises Forbidden, Unprocessable.
    """
    require(actor, Permission.HUB_OPERATE, HUB)
    text = " ".join(text.replace("\x00", "").split())
    if len(text) > MAX_TEXT_CHARS:
        raise Unprocessable(f"A notice has at most {MAX_TEXT_CHARS} characters.", code="notice_too_long")
    if level not in Level.values:
        raise Unprocessable(f"'{level[:30]}' is no level.", code="bad_level", hint=f"One of {', '.join(Level.values)}.")
    with transaction.atomic():
        row, _ = SiteNotice.objects.select_for_update().get_or_create(pk=THE_ONE)
        before = {"text": row.text, "level": row.level, "read_only": row.read_only}
        after = {"text": text, "level": level, "read_only": read_only}
        if before != after:
            row.text, row.level, row.read_only, row.changed_by = text, level, read_only, actor.label
            row.save()
            record(actor=actor, action="hub.notice", target="hub", details={"before": before, "after": after})
    selectors.forget()
    return row
