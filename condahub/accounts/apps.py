"""Registers the accounts app and the signals that make a changed right act at once in this process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:
    from condahub.ops.doctor import Finding


class AccountsConfig(AppConfig):
    name = "condahub.accounts"
    label = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        from condahub.accounts import cache, checks
        from condahub.accounts.signin import events, replay
        from condahub.ops import doctor

        cache.connect()
        events.connect()
        replay.connect()
        checks.register_checks()
        doctor.register_check("signing in", _examine_sign_in)


def _examine_sign_in() -> Iterable[Finding]:
    from condahub.accounts.signin import directory, reachable
    from condahub.ops.doctor import error, ok, warning

    troubles = [*reachable.directory_troubles(), *reachable.provider_troubles(), *reachable.other_troubles()]
    for one in troubles:
        yield (error if one.stops else warning)(one.what, one.mend)
    if not troubles:
        ways = [*(["the directory"] if directory.is_configured() else []), *(f"'{app.name}'" for app in reachable.providers())]
        yield ok(f"{' and '.join(ways)} can be asked." if ways else "By passwords of this hub; no directory and no OpenID Connect.")
