"""Registers the accounts app and the signals that make a changed right act at once in this process."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "condahub.accounts"
    label = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        from condahub.accounts import cache, checks
        from condahub.accounts.signin import events, replay

        cache.connect()
        events.connect()
        replay.connect()
        checks.register_checks()
