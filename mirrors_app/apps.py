"""Tells Django of this app, and the rooms below of what it offers them."""

from django.apps import AppConfig


class MirrorsConfig(AppConfig):
    name = "mirrors_app"
    label = "mirrors"
    verbose_name = "Mirrors"

    def ready(self) -> None:
        from mirrors_app import registrations

        registrations.register()
