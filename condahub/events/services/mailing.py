"""Mails a person what is due, as one message."""

from __future__ import annotations

import logging

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext, ngettext, pgettext

from condahub.accounts.models import User
from condahub.accounts.policy import Actor
from condahub.errors import Unavailable
from condahub.events import selectors
from condahub.events.models import InboxItem, MailState
from condahub.events.types import type_named
from condahub.events.words import sentence_of
from condahub.net import mail

log = logging.getLogger(__name__)

MAX_EVENTS = 50
MAX_SUBJECT_CHARS = 150


def send_mail(user_id: int) -> int:
    """One mail with what is due for this person and may still be told; returns how many events it has.

    Raises Unavailable where the mail server does not take it: then it stays due. A worker that dies between sending and
    noting it sends again.
    """
    user = User.objects.filter(pk=user_id).first()
    due = InboxItem.objects.filter(user_id=user_id, mail=MailState.DUE).select_related("event").order_by("id")
    items = list(due)
    if user is None or not items:
        return 0
    told = [item for item in items if _may_still(user, item)] if user.email and settings.CONDAHUB_EMAIL_ENABLED else []
    if told:
        with translation.override(user.language or settings.LANGUAGE_CODE):
            _send(user, told)
    told_ids = {item.pk for item in told}
    InboxItem.objects.filter(pk__in=told_ids).update(mail=MailState.SENT)
    InboxItem.objects.filter(pk__in=[item.pk for item in items if item.pk not in told_ids]).update(mail=MailState.NONE)
    return len(told)


def _may_still(user: User, item: InboxItem) -> bool:
    try:
        event_type = type_named(item.event.type)
    except LookupError:
        return False
    return selectors.may_hear(Actor.of(user), item.event, event_type, selectors.target_now(item.event))


def _send(user: User, items: list[InboxItem]) -> None:
    subject = sentence_of(items[0].event)
    if len(items) > 1:
        subject = f"{subject} {_more(len(items) - 1)}"
    if len(subject) > MAX_SUBJECT_CHARS:
        subject = f"{subject[: MAX_SUBJECT_CHARS - 1]}…"
    mail.send(user.email, subject, _body(user, items))


def _body(user: User, items: list[InboxItem]) -> str:
    lines = [pgettext("mail", "Hello %(name)s,") % {"name": user.shown_name}, ""]
    for item in items[:MAX_EVENTS]:
        lines += [f"{item.event.at:%Y-%m-%d %H:%M} UTC  {_grave(item.event.severity)}", f"  {sentence_of(item.event)}", ""]
    if len(items) > MAX_EVENTS:
        lines += [_more(len(items) - MAX_EVENTS), ""]
    lines.append(gettext("What you are told of, and how, is yours to change in your subscriptions on the hub:"))
    return "\n".join([*lines, settings.CONDAHUB_PUBLIC_URL])


def _more(number: int) -> str:
    return ngettext("And %(number)s more.", "And %(number)s more.", number) % {"number": number}


def _grave(severity: str) -> str:
    said = {"info": pgettext("severity", "INFO"), "warning": pgettext("severity", "WARNING"), "error": pgettext("severity", "ERROR")}
    return said.get(severity, severity.upper())


def send_all_due() -> int:
    """Mail everybody now, for a lane that does not work; one person's failure keeps nobody else's mail. Returns to how many."""
    count = 0
    for user_id in InboxItem.objects.filter(mail=MailState.DUE).order_by().values_list("user_id", flat=True).distinct():
        try:
            count += bool(send_mail(user_id))
        except Unavailable:
            log.warning("a mail stays due")
    return count
