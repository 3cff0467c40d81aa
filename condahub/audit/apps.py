"""Registers the audit app and listens to sign-ins."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AuditConfig(AppConfig):
    name = "condahub.audit"
    label = "audit"
    verbose_name = "Audit"

    def ready(self) -> None:
        from condahub.audit import signals, triggers

        signals.connect()
        post_migrate.connect(triggers.install_after_migrate, sender=self, dispatch_uid="audit.triggers")
