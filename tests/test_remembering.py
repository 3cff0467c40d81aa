"""What a process remembers is bounded: what was put longest ago goes first."""

from __future__ import annotations

from condahub.remembering import Remembered


def test_what_was_put_longest_ago_goes_first() -> None:
    known: Remembered[str, int] = Remembered(2)
    for number, key in enumerate(("a", "b", "a", "c")):
        known.put(key, number)
    assert (known.get("a"), known.get("b"), known.get("c")) == (2, None, 3)
    known.forget("a")
    assert known.get("a") is None
    known.forget_all()
    assert known.get("c") is None
