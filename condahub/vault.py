"""Keeps tenants' secrets encrypted at rest: with keys derived from SECRET_KEY, one for each purpose, older keys still read.

A sealed secret is Fernet's token (AES-128-CBC, HMAC-SHA256) as text; the keys are HKDF-SHA256 (RFC 5869) of SECRET_KEY
and, for reading, of each of SECRET_KEY_FALLBACKS.
"""

from __future__ import annotations

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from condahub.errors import HubError

SALT = b"condahub.vault.v1"


class Unsealable(HubError):
    """The key it was sealed with is not known any more."""

    code = "secret_lost"
    status = 409
    hint = "Give the secret anew; or an operator adds the former key to CONDAHUB_SECRET_KEY_FALLBACKS."

    def __init__(self) -> None:
        super().__init__("A stored secret can't be read: the hub's secret key has changed.")


def seal(secret: str, *, purpose: str) -> str:
    """Encrypt. What is sealed for one purpose (`webhook`, `mirror`) can't be read as another's."""
    return _ciphers(purpose)[0].encrypt(secret.encode()).decode("ascii")


def unseal(sealed: str, *, purpose: str) -> str:
    """Raises Unsealable."""
    for cipher in _ciphers(purpose):
        try:
            return cipher.decrypt(sealed.encode()).decode()
        except InvalidToken:
            continue
    raise Unsealable


def is_current(sealed: str, *, purpose: str) -> bool:
    """Whether the present key reads it: where not, whoever keeps it seals it anew, so that the fallback can go."""
    try:
        _ciphers(purpose)[0].decrypt(sealed.encode())
    except InvalidToken:
        return False
    return True


def _ciphers(purpose: str) -> list[Fernet]:
    """The present key's first."""
    return [_cipher(key, purpose) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


@lru_cache(maxsize=32)
def _cipher(key: str, purpose: str) -> Fernet:
    derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=SALT, info=purpose.encode()).derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
