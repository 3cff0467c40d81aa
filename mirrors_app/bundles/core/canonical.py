"""The one spelling of a JSON document, so that a signature of its bytes is a signature of what it says.

A subset of RFC 8785 (JCS), in which every document has the same bytes as under the whole of it: keys are ASCII, numbers are
integers between -(2^53 - 1) and 2^53 - 1. No white space, keys in order of their bytes, UTF-8, no byte order mark, no newline at the end.
"""

from __future__ import annotations

from typing import Any

import orjson

MAX_INTEGER = 2**53 - 1


def encode(value: Any) -> bytes:
    """The document's bytes. Raises ValueError for what has no place in the subset."""
    _check(value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def decode(data: bytes) -> Any:
    """What canonical bytes say. Raises ValueError for any other spelling, keys that come twice among them."""
    value = orjson.loads(data)
    if encode(value) != data:
        raise ValueError("it is not spelled canonically")
    return value


def _check(value: Any) -> None:
    """Without recursion: a document is as deep as its writer likes."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            for key in one:
                if not isinstance(key, str) or not key.isascii():
                    raise ValueError("a key is not ASCII")
            waiting.extend(one.values())
        elif isinstance(one, list | tuple):
            waiting.extend(one)
        elif isinstance(one, bool) or one is None or isinstance(one, str):
            continue
        elif not isinstance(one, int) or abs(one) > MAX_INTEGER:
            raise ValueError("a number is not an integer of 53 bits")
