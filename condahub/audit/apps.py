"""Registers the audit app and listens to sign-ins."""

from __future__ import annotations

from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "condahub.audit"
    label = "audit"
    verbose_name = "Audit"

    def ready(self) -> None:
        from condahub.audit import signals

        signals.connect()
