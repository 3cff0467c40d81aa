"""The steps of signing in that are ours."""

from __future__ import annotations

from typing import Any

from allauth.account import app_settings
from allauth.account.models import EmailAddress
from allauth.account.stages import EmailVerificationStage

from condahub.accounts.models import User


def waits_for_verification(user: User) -> bool:
    """Whether that account was made by signing up, and its address is not verified yet."""
    if app_settings.EMAIL_VERIFICATION != app_settings.EmailVerificationMethod.MANDATORY:
        return False
    addresses = EmailAddress.objects.filter(user=user)
    return addresses.exists() and not addresses.filter(verified=True).exists()


class VerifyEmailStage(EmailVerificationStage):  # type: ignore[misc]
    """Holds up who signed up and has not verified the address; an account that IT made needs none."""

    def handle(self) -> tuple[Any, bool]:
        if not EmailAddress.objects.filter(user=self.login.user).exists():
            return None, True
        found: tuple[Any, bool] = super().handle()
        return found
