"""Tells Django of this app, and the rooms below of what it offers them."""

from django.apps import AppConfig


class EnvironmentsConfig(AppConfig):
    name = "environments_app"
    label = "environments"
    verbose_name = "Environments"

    def ready(self) -> None:
        from environments_app import registrations
        from environments_app.artifacts import registering

        registrations.register()
        registering.register()
