"""Which accounts a password that is kept here opens: all, or those alone that an operator unlocked."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.backends import BaseBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils import timezone

from condahub.accounts.models import DirectoryAccount, User


def opens(user: User) -> bool:
    """Whether the local password of this account signs in: local accounts are on and it is no directory's, or it was unlocked."""
    if user.unlocked_until is not None and user.unlocked_until > timezone.now():
        return True
    return opens_by_itself(user)


def opens_by_itself(user: User) -> bool:
    """The same without an operator's unlocking."""
    return bool(settings.CONDAHUB_LOCAL_ACCOUNTS) and not DirectoryAccount.objects.filter(user=user).exists()


def may_have_password(user: User) -> bool:
    """Whether a password may be set or reset by the person himself."""
    return not user.is_robot and user.is_active and user.has_usable_password() and opens(user)


class LocalGate(BaseBackend):
    """Stands before Django's own password backend, and ends the matter where that one must not be asked."""

    def authenticate(self, request: HttpRequest | None, username: str | None = None, **credentials: Any) -> None:
        user = User.objects.filter(username=username).first() if username else None
        if user is not None and not opens(user):
            raise PermissionDenied
