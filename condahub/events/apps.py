"""Registers the events app, its system check, and the doctor's looks at webhooks and e-mail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:
    from condahub.ops.doctor import Finding


class EventsConfig(AppConfig):
    name = "condahub.events"
    label = "events"
    verbose_name = "Events"

    def ready(self) -> None:
        from condahub.events import checks
        from condahub.ops import doctor

        checks.register_checks()
        doctor.register_check("webhooks", _examine_webhooks)
        doctor.register_check("e-mail", _examine_mail)


def _examine_webhooks() -> Finding:
    from condahub.events import selectors
    from condahub.ops.doctor import ok, warning

    failing = [f"'{webhook.name}' of {webhook.organization.name} (to {webhook.host})" for webhook in selectors.failing_webhooks()[:5]]
    if failing:
        return warning(f"Receivers take nothing: {', '.join(failing)}.", "The organization's owners see why in the webhook's deliveries.")
    return ok("No webhook fails.")


def _examine_mail() -> Finding:
    from django.conf import settings

    from condahub.events import selectors
    from condahub.ops.doctor import ok, warning

    if not settings.CONDAHUB_EMAIL_ENABLED:
        return ok("E-mail is not set up; people are told in their inbox.")
    late = selectors.late_mail().count()
    if late:
        return warning(f"{late} messages have waited for long to be mailed.", "Is CONDAHUB_EMAIL_URL right, and the mail server up?")
    return ok("E-mail is set up, and none waits.")
