"""Takes secrets out of what is about to be recorded, and makes it plain JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from condahub.accounts.secrets import MASK, mask

_SECRET_KEY = re.compile(
    r"(?i)(passw|secret|authorization|cookie|credential|api[-_]?key|private[-_]?key|^token$|[-_](?:token|key)$|^x-api)"
)
MAX_TEXT_CHARS = 2000
MAX_ITEMS = 200
MAX_DEPTH = 6


def scrub(value: Any, *, depth: int = 0) -> Any:
    """A copy as plain JSON, with secrets masked and size bounded: the audit is not where somebody stores a gigabyte."""
    if isinstance(value, Mapping):
        if depth >= MAX_DEPTH:
            return "…"
        items = list(value.items())[:MAX_ITEMS]
        return {_text(str(key)): MASK if _is_secret(str(key), item) else scrub(item, depth=depth + 1) for key, item in items}
    if isinstance(value, (list, tuple, set, frozenset)):
        if depth >= MAX_DEPTH:
            return "…"
        found = [scrub(item, depth=depth + 1) for item in list(value)[:MAX_ITEMS]]
        return sorted(found, key=str) if isinstance(value, (set, frozenset)) else found
    if value is None or isinstance(value, (bool, int)):
        return value
    # NaN and infinities are no JSON, and floats differ between databases.
    return _text(str(value))


def _is_secret(key: str, value: Any) -> bool:
    return value is not None and not isinstance(value, (bool, int)) and _SECRET_KEY.search(key) is not None


def _text(text: str) -> str:
    # PostgreSQL's JSON holds neither NUL nor lone surrogates.
    clean = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return mask(clean)[:MAX_TEXT_CHARS]
