"""Signs in by the company's directory: django-auth-ldap finds and binds, the hub decides whose account that is."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django_auth_ldap.backend import LDAPBackend

from condahub.accounts.models import DirectoryAccount, User
from condahub.accounts.policy import SYSTEM
from condahub.accounts.services import outside
from condahub.accounts.signin import directory
from condahub.audit.services import record
from condahub.errors import HubError

log = logging.getLogger(__name__)


class DirectoryBackend(LDAPBackend):  # type: ignore[misc]
    """A password that the directory takes. Never for an account that was made here, unless linking by name is allowed."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **credentials: Any
    ) -> User | None:
        if not username or not password or not _may_be_theirs(username):
            return None
        user: User | None = super().authenticate(request, username=username, password=password)
        if user is None:
            _close_if_gone(username)
        return user if user is not None and user.is_active else None

    def get_or_build_user(self, username: str, ldap_user: Any) -> tuple[User, bool]:
        """Called when the directory has taken the password."""
        entry = directory.read(ldap_user.dn)
        if entry is None:
            raise ldap_user.AuthenticationFailed("the directory has that person no more")
        try:
            return outside.admit(entry=entry, link_existing=settings.CONDAHUB_LDAP_LINK_BY_NAME), False
        except HubError as error:
            record(actor=SYSTEM, action="user.link_refused", target=entry.username, details={"why": error.detail})
            raise ldap_user.AuthenticationFailed(error.detail) from None

    def get_user(self, user_id: int) -> User | None:
        """A deactivated account has no session."""
        user: User | None = User.objects.filter(pk=user_id, is_active=True).first()
        return user

    def has_perm(self, user: Any, perm: str, obj: Any = None) -> bool:
        """Rights are the hub's policy's alone."""
        return False

    def has_module_perms(self, user: Any, app_label: str) -> bool:
        return False

    def get_all_permissions(self, user: Any, obj: Any = None) -> set[str]:
        return set()

    def get_group_permissions(self, user: Any, obj: Any = None) -> set[str]:
        return set()


def _may_be_theirs(username: str) -> bool:
    """A password of an account that was made here is none of the directory's business."""
    user = User.objects.filter(username__iexact=username).first()
    return user is None or settings.CONDAHUB_LDAP_LINK_BY_NAME or DirectoryAccount.objects.filter(user=user).exists()


def _close_if_gone(username: str) -> None:
    """Whoever was taken out of the directory is found out by trying, too."""
    account = DirectoryAccount.objects.select_related("user").filter(user__username__iexact=username, user__is_active=True).first()
    if account is None:
        return
    try:
        for _, entry in directory.by_identity([account.unique_id]):
            if entry is None:
                outside.close(account=account)
    except HubError as error:
        log.warning("The directory could not be asked about somebody whose password it did not take: %s", error.detail)
