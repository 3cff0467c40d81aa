"""What the rules of a virtual channel's own levels say of its members' files.

A level judges a file once: the installation, the member's organization and the member itself have had their say at the member, so
that here the virtual channel's own rules, and those of its organization where the member has another, come on top.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from django.utils import timezone

from channels_app.models import Channel, Effect, FileState, PackageFile, PolicyLevel
from channels_app.policies.evaluate import Judge, Verdict
from channels_app.policies.view import View, known_advisories, rules_on, verdict_on, waivers_on

# subdir, name -> filenames.
Hidden = dict[tuple[str, str], set[str]]


class Judged(NamedTuple):
    """hidden: what is not to be shown; due: the moment at which that may be otherwise, by name."""

    hidden: Hidden
    due: dict[str, datetime]


class VirtualRules:
    """The rules that a virtual channel adds, ready for many files; immutable."""

    def __init__(self, virtual: Channel) -> None:
        rules = rules_on(virtual)
        rules.pop(PolicyLevel.INSTALLATION, None)
        waivers = waivers_on(virtual) if any(not one.is_empty for one in rules.values()) else []
        self._organization_id = virtual.organization_id
        self._foreign = Judge(rules, waivers)
        rules.pop(PolicyLevel.ORGANIZATION, None)
        self._own = Judge(rules, waivers)

    def judge(self, organization_id: int) -> Judge:
        """For the files of a member of this organization."""
        return self._own if organization_id == self._organization_id else self._foreign

    def verdict(self, file_id: int, organization_id: int) -> Verdict:
        """On one file, now; two queries at most."""
        return verdict_on(self.judge(organization_id), file_id, timezone.now())

    def judged(self, member: int, organization_id: int, names: Iterable[str]) -> Judged:
        """What is hidden of a member's live files of these names, a few hundred; one or two queries."""
        judge, wanted = self.judge(organization_id), sorted(set(names))
        hidden: Hidden = defaultdict(set)
        due: dict[str, datetime] = {}
        if judge.says_nothing:
            return Judged(hidden, due)
        view, now = View(judge, known_advisories(wanted) if judge.needs_advisories else None), timezone.now()
        rows = PackageFile.objects.filter(channel_id=member, name__in=wanted, state=FileState.LIVE).order_by()
        for subdir, name, filename, *values in rows.values_list("subdir", "name", "filename", *view.columns):
            made = view.verdict(values, now)
            if made.effect != Effect.ALLOW:
                hidden[subdir, name].add(filename)
            if made.changes_at is not None:
                due[name] = min(due.get(name, made.changes_at), made.changes_at)
        return Judged(hidden, due)
