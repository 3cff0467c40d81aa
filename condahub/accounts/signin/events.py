"""Listens to what allauth tells: groups are followed, and every change of how somebody signs in is in the audit."""

from __future__ import annotations

from typing import Any

from allauth.account import signals as account_signals
from allauth.mfa import signals as mfa_signals
from allauth.socialaccount import signals as social_signals
from allauth.socialaccount.models import SocialApp
from django.db.models.signals import pre_save

from condahub.accounts.models import User
from condahub.accounts.signin import patience, providers
from condahub.audit.context import address_of
from condahub.audit.services import Someone, record


def _noted(action: str) -> Any:
    def note(*, user: User, authenticator: Any = None, **kwargs: Any) -> None:
        details = {} if authenticator is None else {"type": str(authenticator.type)}
        record(actor=Someone(label=user.username, user_id=user.pk), action=action, target=user.username, details=details)

    return note


def _factor_failed(*, request: Any, user: User, **kwargs: Any) -> None:
    patience.note_failure(user.username, address_of(request.META))
    record(actor=Someone(label=user.username, user_id=user.pk), action="session.second_factor_failed", target=user.username)


def _email_changed(*, user: User, to_email_address: Any, **kwargs: Any) -> None:
    details = {"email": to_email_address.email}
    record(actor=Someone(label=user.username, user_id=user.pk), action="user.email", target=user.username, details=details)


# Signals hold their listeners weakly.
_LISTENERS = [
    (mfa_signals.authenticator_added, _noted("second_factor.add")),
    (mfa_signals.authenticator_removed, _noted("second_factor.remove")),
    (mfa_signals.authenticator_reset, _noted("second_factor.reset")),
    (mfa_signals.authentication_failed, _factor_failed),
    (account_signals.password_reset, _noted("user.reset_password")),
    (account_signals.email_changed, _email_changed),
    (account_signals.user_logged_in, providers.follow_groups),
    (social_signals.social_account_added, providers.linked),
    (social_signals.social_account_removed, providers.unlinked),
]


def connect() -> None:
    for number, (signal, listener) in enumerate(_LISTENERS):
        signal.connect(listener, dispatch_uid=f"accounts.signin.{number}")
    pre_save.connect(providers.seal_secret, sender=SocialApp, dispatch_uid="accounts.signin.seal")
