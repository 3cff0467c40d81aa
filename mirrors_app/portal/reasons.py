"""Why a filter leaves a package out, in the language of the page: runs keep these reasons in English."""

from __future__ import annotations

import re

from django.utils.translation import gettext, gettext_noop

# What the filters, lock files and policies of a run write, as sentences with gaps.
REASONS = (
    gettext_noop("matches no include"),
    gettext_noop("on the blacklist"),
    gettext_noop("its name is on the list of excluded names"),
    gettext_noop("its subdir is not mirrored"),
    gettext_noop("it is of another channel"),
    gettext_noop("it does not say when it was built"),
    gettext_noop("excluded by '%(what)s'"),
    gettext_noop("larger than %(what)s bytes"),
    gettext_noop("its licence '%(what)s' is excluded"),
    gettext_noop("its licence '%(what)s' is not among the allowed ones"),
    gettext_noop("built before %(what)s"),
    gettext_noop("built after %(what)s"),
    gettext_noop("older than the newest %(what)s version"),
    gettext_noop("older than the newest %(what)s versions"),
    gettext_noop("denied by policy (%(what)s)"),
)
_GAP = "%(what)s"
_KNOWN = tuple((re.compile(re.escape(text).replace(re.escape(_GAP), "(?P<what>.*)"), re.DOTALL), text) for text in REASONS)


def said(reason: str) -> str:
    """The reason as a page says it; as it was kept where nobody foresaw it."""
    for pattern, text in _KNOWN:
        if found := pattern.fullmatch(reason):
            return gettext(text).replace(_GAP, found.groupdict().get("what", ""))
    return reason
