"""Tells Django of this app, and the jobs of when the heavy lane waits."""

from django.apps import AppConfig


class MaintenanceConfig(AppConfig):
    name = "condahub.maintenance"
    label = "maintenance"
    verbose_name = "Maintenance"

    def ready(self) -> None:
        from condahub.jobs import services
        from condahub.maintenance import selectors

        services.register_hold(lambda: selectors.notice().read_only)
