"""Tells Django of this app, and the rooms below of what it offers them."""

from django.apps import AppConfig


class ChannelsConfig(AppConfig):
    name = "channels_app"
    label = "channels"
    verbose_name = "Channels"

    def ready(self) -> None:
        from channels_app import registrations

        registrations.register()
