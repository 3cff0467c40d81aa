"""System checks of what an operator sets: the ready token, and the address that cookies, hosts and links follow."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

MIN_ADMIN_TOKEN_CHARS = 24


def check_admin_token(**kwargs: Any) -> list[CheckMessage]:
    token: str = getattr(settings, "CONDAHUB_ADMIN_TOKEN", "")
    if not token:
        return []
    if re.fullmatch(r"[A-Za-z0-9-]+", token) is None:
        return [Error("CONDAHUB_ADMIN_TOKEN may hold only letters, digits and '-': conda carries tokens in URLs.", id="accounts.E001")]
    if len(token) < MIN_ADMIN_TOKEN_CHARS:
        return [
            Warning(f"CONDAHUB_ADMIN_TOKEN is shorter than {MIN_ADMIN_TOKEN_CHARS} characters: it could be guessed.", id="accounts.W001")
        ]
    return []


def check_public_url(**kwargs: Any) -> list[CheckMessage]:
    url: str = settings.CONDAHUB_PUBLIC_URL
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and not (parts.path or parts.query or parts.fragment or parts.username)
    except ValueError:
        usable = False
    if usable:
        return []
    return [
        Error(
            f"CONDAHUB_PUBLIC_URL must be the hub's address, such as https://hub.example.org, with no path after it; it is {url!r}.",
            id="accounts.E002",
        )
    ]


def register_checks() -> None:
    register(check_admin_token, "security")
    register(check_public_url, "security")
