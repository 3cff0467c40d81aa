"""Records sign-ins, sign-outs and failed sign-ins as Django tells of them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

from condahub.audit.services import Someone, record


def _signed_in(*, user: Any, **kwargs: Any) -> None:
    record(actor=Someone(label=user.get_username(), user_id=user.pk), action="session.sign_in", target=user.get_username())


def _signed_out(*, user: Any, **kwargs: Any) -> None:
    if user is not None:
        record(actor=Someone(label=user.get_username(), user_id=user.pk), action="session.sign_out", target=user.get_username())


def _failed(*, credentials: dict[str, Any], **kwargs: Any) -> None:
    # What was typed as the name may be a password by mistake, so it is kept only as far as names go.
    typed = str(credentials.get("username") or credentials.get("email") or "")[:150]
    record(actor=Someone(label="anonymous"), action="session.sign_in_failed", target=typed)


def connect() -> None:
    user_logged_in.connect(_signed_in, dispatch_uid="audit.signed_in")
    user_logged_out.connect(_signed_out, dispatch_uid="audit.signed_out")
    user_login_failed.connect(_failed, dispatch_uid="audit.sign_in_failed")
