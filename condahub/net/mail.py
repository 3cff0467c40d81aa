"""Sends one mail of the hub's own to one address."""

from __future__ import annotations

import logging
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage

from condahub.errors import Unavailable

log = logging.getLogger(__name__)


def send(to: str, subject: str, body: str) -> None:
    """The installation's prefix goes before the subject. Raises Unavailable where the mail server does not take it."""
    message = EmailMessage(
        subject=f"{settings.EMAIL_SUBJECT_PREFIX}{subject}",
        body=body,
        to=[to],
        # RFC 3834: no vacation notice comes back.
        headers={"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"},
    )
    try:
        message.send()
    except (SMTPException, OSError) as failure:
        log.warning("a mail could not be sent: %s", type(failure).__name__)
        raise Unavailable("The mail server does not take the mail.", hint="Is CONDAHUB_EMAIL_URL right, and the server up?") from None
