"""What is wrong with a specification: each complaint with its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from condahub.errors import Unprocessable


@dataclass(frozen=True, slots=True)
class Problem:
    """One complaint. line: from 1; 0 for the text as a whole."""

    line: int
    code: str
    detail: str
    hint: str = ""

    @property
    def sentence(self) -> str:
        return f"Line {self.line}: {self.detail}" if self.line else self.detail

    def as_dict(self) -> dict[str, str | int]:
        return asdict(self)


class SpecInvalid(Unprocessable):
    """A specification that can't be accepted (422); `problems` holds every complaint, the sentence the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(first.sentence + more, code=first.code, hint=first.hint)
        self.problems = tuple(problems)
