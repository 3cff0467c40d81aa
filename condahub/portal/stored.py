"""Sentences that were written in English further down, told in the page's language: they are known by their form."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from django.utils.translation import gettext

_GAP = re.compile(r"%\((\w+)\)s")


def teller(
    sentences: Iterable[str], *, forms: Mapping[str, str] | None = None, said: Callable[[str, str], str] = lambda name, value: value
) -> Callable[[str], str]:
    """A function that tells a text in the page's language if it has the form of one of these; else the text as it is.

    sentences: marked for translation, with gaps as `%(name)s`, the special before the general. forms: a regular expression by the
    name of a gap, `.+` else. said: (name, value) to what stands in the gap, where that is a word of ours too.
    """
    known = [(sentence, _pattern(sentence, forms or {})) for sentence in sentences]

    def told(text: str) -> str:
        for sentence, pattern in known:
            if found := pattern.fullmatch(text):
                here = gettext(sentence)
                return text if here == sentence else here % {name: said(name, value) for name, value in found.groupdict().items()}
        return text

    return told


def _pattern(sentence: str, forms: Mapping[str, str]) -> re.Pattern[str]:
    parts = _GAP.split(sentence)
    texts = [re.escape(part) if index % 2 == 0 else f"(?P<{part}>{forms.get(part, '.+')})" for index, part in enumerate(parts)]
    return re.compile("".join(texts), re.DOTALL)
