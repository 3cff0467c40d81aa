"""Job kinds of accounts: following the company's directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from condahub.accounts.signin import directory
from condahub.accounts.signin.sync import sync_directory
from condahub.jobs import schedules
from condahub.jobs.context import JobContext
from condahub.jobs.registry import job_kind


@job_kind("accounts.directory_sync", lane="quick", timeout_seconds=600)
def follow_directory(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    return sync_directory().as_dict() if directory.is_configured() else {"looked_at": 0}


if directory.is_configured():
    schedules.register("follow the directory", "accounts.directory_sync", every_seconds=settings.CONDAHUB_LDAP_SYNC_SECONDS)
