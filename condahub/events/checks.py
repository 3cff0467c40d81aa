"""System check of which private networks an operator allows."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from condahub.net.guard import Guard


def check_private_networks(**kwargs: Any) -> list[CheckMessage]:
    try:
        Guard.parse(settings.CONDAHUB_PRIVATE_NETWORKS_ALLOWED)
    except ValueError as error:
        return [Error(f"CONDAHUB_PRIVATE_NETWORKS_ALLOWED can't be read: {error}", id="events.E001")]
    return []


def register_checks() -> None:
    register(check_private_networks, "security")
