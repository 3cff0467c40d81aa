"""Looks at pages as a German reads them, and finds what was left English."""

from __future__ import annotations

import re
from html import unescape

from tests.portal.conftest import Visitor

GERMAN = {"Accept-Language": "de-DE,de;q=0.9,en;q=0.5"}
# Words that English sentences can't do without, and German ones never have.
ENGLISH = re.compile(
    r"\b(?:[Tt]he|[Aa]nd|[Oo]f|[Ww]ith|[Bb]y|[Ii]s|[Aa]re|[Ii]t(?= [a-z])|[Ii]ts|[Tt]his|[Tt]hat|[Ww]hat|[Ww]hich|[Ff]rom|[Tt]o|[Nn]ot|yet"
    r"|[Nn]ever|ago)\b[^.]{0,40}"
)


def read(visitor: Visitor, path: str, status: int = 200) -> str:
    """What a person reads on a page, and hears read out: commands, code and names of files aside."""
    response = visitor.client.get(path, headers=GERMAN)
    assert response.status_code == status, (path, response.status_code)
    page = response.content.decode()
    assert '<html lang="de"' in page
    body = re.sub(r"<(pre|code|textarea|script|svg)\b.*?</\1>", " ", page[page.index("<body") :], flags=re.DOTALL)
    spoken = " ".join(re.findall(r'(?:aria-label|placeholder|data-ask|data-label|title)="([^"]*)"', body))
    return re.sub(r"\s+", " ", unescape(re.sub(r'<(?:[^<>"]|"[^"]*")+>', " ", body) + " " + spoken))
