"""Lines that people copy into a terminal: one a client, with the token where one is needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlencode

from django.urls import reverse

TOKEN_PLACEHOLDER = "<token>"  # noqa: S105 - what stands where a token goes


class Line(NamedTuple):
    """client: whose line it is; text: one or more lines to paste."""

    client: str
    text: str


@dataclass(frozen=True)
class Paste:
    """A block with a tab for each client. token_path: where a token for it is made; empty where none is needed."""

    lines: list[Line]
    title: str = ""
    token_path: str = ""
    name: str = field(default="client")


def token_path(channel: str, purpose: str) -> str:
    """Where a token for this channel is made, the form filled in."""
    return f"{reverse('portal:token_new')}?{urlencode({'channel': channel, 'purpose': purpose, 'name': f'{channel} ({purpose})'})}"
