"""Filters of channels' pages: what was written down in English, in the page's language."""

from __future__ import annotations

from django import template

from channels_app.portal import stored

register = template.Library()


@register.filter
def cause(text: str) -> str:
    """What caused a revision."""
    return stored.cause(text)


@register.filter
def policy_reason(text: str) -> str:
    """Why policy hides a file."""
    return stored.reason(text)
