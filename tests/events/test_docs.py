"""docs/events.md says what is so: its table of types, and its example of checking a signature."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from condahub.events.types import known_types

PAGE = Path(__file__).parents[2] / "docs" / "events.md"


def verify_of_the_docs() -> Callable[[str, Mapping[str, str], bytes], bool]:
    """The function of the page's example."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert code is not None
    space: dict[str, Any] = {}
    exec(code[1], space)
    found: Callable[[str, Mapping[str, str], bytes], bool] = space["is_from_the_hub"]
    return found


def test_the_table_lists_every_type_as_it_is() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| (\w+) \| `([a-z:]+)` \| (\S+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    expected = [
        (one.name, one.severity.value, one.needed.value, f"`{one.unasked.value}`" if one.unasked else "-", one.description)
        for one in known_types()
    ]
    assert rows == expected


def test_an_old_signature_is_refused() -> None:
    from condahub.events.services.sending import signature

    headers = {"X-Condahub-Timestamp": "1000000000", "X-Condahub-Signature": signature("s", "1000000000", b"{}")}
    assert not verify_of_the_docs()("s", headers, b"{}")
