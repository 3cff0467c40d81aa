"""Registers the audit app and listens to sign-ins."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils import timezone

if TYPE_CHECKING:
    from condahub.ops.doctor import Finding


class AuditConfig(AppConfig):
    name = "condahub.audit"
    label = "audit"
    verbose_name = "Audit"

    def ready(self) -> None:
        from condahub.audit import signals, triggers
        from condahub.ops import doctor

        doctor.register_check("audit stream", check_stream)
        signals.connect()
        post_migrate.connect(triggers.install_after_migrate, sender=self, dispatch_uid="audit.triggers")


def check_stream() -> Finding:
    """Whether a syslog server that is set takes the audit's events."""
    from condahub.audit import forwarding
    from condahub.ops import doctor

    if not forwarding.is_configured():
        return doctor.ok("Audit events are not streamed.")
    count, since = forwarding.waiting()
    if since is not None and timezone.now() - since > timedelta(seconds=forwarding.LATE_SECONDS):
        mend = "Is the server up, and CONDAHUB_AUDIT_SYSLOG right? Nothing is left out: all of it comes later."
        return doctor.warning(f"{count} audit events have waited for the syslog server since {since:%Y-%m-%d %H:%M:%S} UTC.", mend)
    return doctor.ok("The syslog server takes the audit's events.")
