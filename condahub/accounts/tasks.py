"""Job kinds of accounts: following the company's directory, sending invitations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from condahub.accounts.services import invitations
from condahub.accounts.signin import directory
from condahub.accounts.signin.sync import sync_directory
from condahub.jobs import schedules
from condahub.jobs.context import JobContext
from condahub.jobs.registry import job_kind


@job_kind("accounts.directory_sync", lane="quick", timeout_seconds=600)
def follow_directory(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    return sync_directory().as_dict() if directory.is_configured() else {"looked_at": 0}


@job_kind(invitations.MAIL_KIND, lane="quick", max_attempts=6)
def mail_invitation(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {"sent": invitations.mail_invitation(int(payload["invitation"]))}


@job_kind("accounts.upkeep", lane="quick")
def keep(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {"deleted": invitations.prune_invitations()}


schedules.register("upkeep of accounts", "accounts.upkeep", crontab="41 3 * * *")
if directory.is_configured():
    schedules.register("follow the directory", "accounts.directory_sync", every_seconds=settings.CONDAHUB_LDAP_SYNC_SECONDS)
