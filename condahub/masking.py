"""Takes secrets out of text that is about to be logged: tokens, and what addresses, queries and headers carry to let somebody in."""

from __future__ import annotations

import re

MASK = "***"
# `/t/<token>/`, also percent-encoded, the token itself too.
_IN_PATH = re.compile(r"((?:/|%2F)(?:t|%74)(?:/|%2F))(?:(?!%2F)[^/\s?\"'])+", re.IGNORECASE)
_OWN_TOKEN = re.compile(r"chub-[A-Za-z0-9]+-[A-Za-z0-9]{20,}(?:-[A-Za-z0-9]+)?")
_IN_QUERY = re.compile(
    r"([?&;](?:[a-z_-]*(?:token|secret|password|passwd|signature|credential|api_?-?key)|key|code|state|sig|ticket)=)[^&\s\"'#;]*",
    re.IGNORECASE,
)
_IN_ADDRESS = re.compile(r"(://)[^/\s@\"'?#]+(?=@)")
_IN_HEADER = re.compile(
    r"((?:authorization['\"]?\s*[:=,]\s*['\"]?(?:bearer|basic|token)|x-api-key['\"]?\s*[:=,])\s*['\"]?)[^\s'\",]+", re.IGNORECASE
)


def mask_secrets(text: str) -> str:
    """The text without what lets somebody in."""
    text = _IN_PATH.sub(rf"\g<1>{MASK}", text)
    text = _OWN_TOKEN.sub(MASK, text)
    text = _IN_QUERY.sub(rf"\g<1>{MASK}", text)
    text = _IN_ADDRESS.sub(rf"\g<1>{MASK}", text)
    return _IN_HEADER.sub(rf"\g<1>{MASK}", text)
