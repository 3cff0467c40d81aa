"""Follows the directory by the clock: who is gone from it is stopped here, whose groups changed has what they give now."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Q

from condahub.accounts.models import DirectoryAccount
from condahub.accounts.services import outside
from condahub.accounts.signin import directory
from condahub.errors import Conflict

log = logging.getLogger(__name__)

# A base or filter that was mistyped finds nobody; then nobody is stopped.
SAFE_TO_CLOSE = 3
MAX_CLOSED_SHARE = 0.5


@dataclass(frozen=True)
class Synced:
    """How many accounts were looked at, how many of them are there no more, how many came back."""

    looked_at: int
    closed: int
    reopened: int

    def as_dict(self) -> dict[str, Any]:
        return {"looked_at": self.looked_at, "closed": self.closed, "reopened": self.reopened}


def sync_directory(*, force: bool = False) -> Synced:
    """Raises DirectoryUnavailable before anything is changed; Conflict when so many are gone that a setting must be wrong.

    force: stop them all the same.
    """
    followed = DirectoryAccount.objects.select_related("user").filter(Q(user__is_active=True) | Q(closed_at__isnull=False))
    accounts = {account.unique_id: account for account in followed}
    found = dict(directory.by_identity(list(accounts)))
    gone = [account for identity, account in accounts.items() if found[identity] is None and account.closed_at is None]
    open_ones = sum(account.closed_at is None for account in accounts.values())
    if not force and len(gone) > max(SAFE_TO_CLOSE, open_ones * MAX_CLOSED_SHARE):
        raise Conflict(
            f"The directory has {len(gone)} of {open_ones} people no more; that looks like a wrong setting, so nobody was stopped.",
            code="directory_too_empty",
            hint="See CONDAHUB_LDAP_USER_BASE and _USER_FILTER; if it is right: condahub admin directory sync --force.",
        )
    reopened = 0
    for identity, entry in found.items():
        if entry is not None:
            reopened += accounts[identity].closed_at is not None
            outside.admit(entry=entry, link_existing=settings.CONDAHUB_LDAP_LINK_BY_NAME)
    for account in gone:
        outside.close(account=account)
    if gone or reopened:
        log.info("The directory was followed: %s accounts stopped, %s opened again", len(gone), reopened)
    return Synced(len(accounts), len(gone), reopened)
