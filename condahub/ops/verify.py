"""Verification: each app walks its own facts and says where they do not hold together; it changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from condahub.audit import chain

# A verification yields its problems, and between them now and then None: one more step was looked at.
Verification = Callable[[], Iterator["Problem | None"]]


@dataclass(frozen=True)
class Problem:
    """what: a sentence that names the thing; mend: what to do about it."""

    what: str
    mend: str = ""


_verifications: dict[str, tuple[Verification, bool]] = {}


def register_verification(name: str, verification: Verification, *, slow: bool = False) -> None:
    """Have it walked by `condahub admin verify`; from `AppConfig.ready`. slow: reads all bytes of the store."""
    _verifications[name] = (verification, slow)


def verifications(*, with_slow: bool = True) -> dict[str, Verification]:
    """All that are registered, by name."""
    return {name: one for name, (one, slow) in _verifications.items() if with_slow or not slow}


def verify_chain() -> Iterator[Problem | None]:
    """The audit trail's chain of seals, from the first event to the last."""
    chain.seal()
    report = chain.verify()
    for _ in range(report.count):
        yield None
    if not report.ok:
        yield Problem(report.problem, "Keep the database as it is, and compare it with a backup.")


register_verification("audit", verify_chain)
