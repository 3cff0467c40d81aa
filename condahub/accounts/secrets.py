"""Makes, recognises and masks API tokens, and keys of invitations, which look alike: `chub-<kind>-<40 base62>-<6 base62 CRC32>`."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from typing import Final

BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
SECRET_CHARS: Final = 40
CHECKSUM_CHARS: Final = 6
# 6 of the 40 tell an owner's tokens apart and leave 202 bits unsaid.
SHOWN_SECRET_CHARS: Final = 6
KINDS: Final = ("user", "robot", "job", "invite")

# For secret scanners, and for finding tokens in any text. Kinds are spelled out so that prose doesn't match.
TOKEN_PATTERN: Final = re.compile(r"chub-(?:user|robot|job|invite)-[0-9A-Za-z]{40}-[0-9A-Za-z]{6}")

# Whatever stands where a token goes is masked, valid or not: an operator's admin token has no shape of its own.
_TOKEN_IN_PATH: Final = re.compile(r"(?<![A-Za-z0-9])(/t/)[^/\s?#\"']+")
_TOKEN_IN_HEADER: Final = re.compile(r"(?i)\b(authorization|x-api-key)(['\"]?\s*[:=]\s*['\"]?)(?:(bearer|basic|token)\s+)?[^\s'\",;]+")
_USERINFO: Final = re.compile(r"(?<=://)[^/\s@]+(?=@)")
MASK: Final = "***"


def _base62(number: int, chars: int) -> str:
    digits = ""
    for _ in range(chars):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode("ascii")), CHECKSUM_CHARS)


def generate(kind: str) -> str:
    """A new token of about 238 bits."""
    if kind not in KINDS:
        raise ValueError(f"no such kind of token: {kind}")
    body = f"chub-{kind}-{''.join(secrets.choice(BASE62) for _ in range(SECRET_CHARS))}"
    return f"{body}-{_checksum(body)}"


def looks_valid(token: str) -> bool:
    """Whether form and checksum fit: what was mistyped or made up is refused without asking the database."""
    if TOKEN_PATTERN.fullmatch(token) is None:
        return False
    body, _, checksum = token.rpartition("-")
    return secrets.compare_digest(_checksum(body), checksum)


def hash_of(token: str) -> str:
    """sha256 in hex: a token is random enough that no slow hash is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def prefix_of(token: str) -> str:
    """What may be shown of a token, so that its owner can tell it from others."""
    kind, separator, secret = token[: -(CHECKSUM_CHARS + 1)].rpartition("-")
    return f"{kind}{separator}{secret[:SHOWN_SECRET_CHARS]}"


def mask(text: str) -> str:
    """The text without any token, credential header value or URL user info in it."""
    text = TOKEN_PATTERN.sub(lambda found: f"{prefix_of(found[0])}{MASK}", text)
    text = _TOKEN_IN_PATH.sub(rf"\g<1>{MASK}", text)
    text = _TOKEN_IN_HEADER.sub(rf"\g<1>\g<2>{MASK}", text)
    return _USERINFO.sub(MASK, text)
