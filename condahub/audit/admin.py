"""The admin's list of audit events, to look at."""

from __future__ import annotations

from django.contrib import admin

from condahub.adminsite.base import LookOnly
from condahub.audit.models import AuditEvent


@admin.register(AuditEvent)
class AuditEventAdmin(LookOnly):
    list_display = ["at", "actor_label", "action", "target_type", "target", "address", "token_prefix", "sequence"]
    list_filter = ["action", "at"]
    search_fields = ["actor_label", "action", "target", "address", "token_prefix", "request_id"]
    show_full_result_count = False
