"""System checks of what an operator sets for accounts."""

from __future__ import annotations

import re
from typing import Any

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


def register_checks() -> None:
    register(check_admin_token, "security")
