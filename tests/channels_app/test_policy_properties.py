"""Whatever is done to channels and their policies in whatever order, the index is what policy makes of the facts, and the past stays."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest
import time_machine
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from channels_app import doors
from channels_app.index import maps
from channels_app.models import Channel, PackageFile, PolicyLevel, Waiver
from channels_app.policies.evaluate import WaiverFacts, verdict
from channels_app.policies.patterns import identity_of
from channels_app.policies.rules import read_rules
from channels_app.policies.view import rules_on, view_of
from channels_app.services import applying, hotfix, states
from channels_app.services.channels import create_channel
from channels_app.services.policies import set_policy, waive
from channels_app.services.scopes import Scope
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor
from condahub.errors import HubError
from condahub.jobs.runner import drain
from condahub.jobs.services import enqueue
from condahub.packages.maker import make_package
from tests.channels_app.conftest import push_file
from tests.channels_app.index_states import SUBDIRS, Snapshot, check_variants_agree, forget_everything, rebuilt, snapshot, without_times

pytestmark = pytest.mark.django_db(transaction=True)

_numbers = count()
_START = timezone.now()
_makes = st.tuples(st.sampled_from(("alpha", "beta")), st.sampled_from(("1.0", "2.0")), st.sampled_from(("noarch", "linux-64")))
_RULES: tuple[dict[str, Any], ...] = (
    {},
    {"names": {"denied": ["alpha >=2"]}},
    {"names": {"denied": ["beta"], "effect": "hold"}},
    {"licenses": {"denied": ["GPL*"]}},
    {"cooldown": {"days": 3}},
    {"size": {"max_bytes": 1}, "cooldown": {"days": 1}},
)
_scopes = st.sampled_from(tuple(PolicyLevel))
_steps = st.one_of(
    st.tuples(st.just("publish"), _makes),
    st.tuples(st.just("publish"), _makes),
    st.tuples(st.sampled_from(("delete", "yank", "restore", "quarantine", "release")), _makes),
    st.tuples(st.just("license"), _makes, st.sampled_from(("MIT", "GPL-3.0-only"))),
    st.tuples(st.just("policy"), _scopes, st.sampled_from(_RULES)),
    st.tuples(st.just("policy"), _scopes, st.sampled_from(_RULES)),
    st.tuples(st.just("waive"), _scopes, st.sampled_from(("alpha", "beta ==1.0")), st.integers(1, 4)),
    st.tuples(st.just("days"), st.integers(1, 3)),
    st.tuples(st.just("work")),
)


@dataclass
class World:
    """One channel; what was shown at each revision; and the time, which moves."""

    actor: Actor
    folder: Path
    channel: Channel
    now: datetime
    waivers: list[WaiverFacts] = field(default_factory=list)
    seen: dict[int, Snapshot] = field(default_factory=dict)

    def do(self, verb: str, *about: Any) -> None:
        with time_machine.travel(self.now, tick=True):
            try:
                self._act(verb, *about)
            except HubError as error:
                assert error.status < 500, error
            self._look()

    def _act(self, verb: str, *about: Any) -> None:
        if verb == "days":
            self.now += timedelta(days=about[0])
        elif verb == "work":
            self.settle()
        elif verb == "policy":
            set_policy(actor=self.actor, scope=self.scope(about[0]), rules=about[1])
        elif verb == "waive":
            level, what, days = about
            until = self.now + timedelta(days=days)
            waive(actor=self.actor, scope=self.scope(level), what=what, reason="Needed.", expires_at=until)
            self.waivers.append(WaiverFacts(level, what, "", "", until))
        else:
            self._change(verb, *about)

    def _change(self, verb: str, make: tuple[str, str, str], license: str = "") -> None:
        name, version, subdir = make
        filename = f"{name}-{version}-0.conda"
        if verb == "publish":
            about = {"license": "GPL-2.0-only" if name == "beta" else "MIT"}
            path = make_package(self.folder / subdir, name, version, subdir=subdir, extra_index=about)
            push_file(self.actor, self.channel, path)
        elif verb == "license":
            instructions = {"packages.conda": {filename: {"license": license}}}
            hotfix.apply(actor=self.actor, channel=self.channel, subdir=subdir, instructions=instructions)
        else:
            states.change_state(
                actor=self.actor, channel=self.channel, verb=states.VERBS[verb], files=[(subdir, filename)], reason="because"
            )

    def scope(self, level: PolicyLevel) -> Scope:
        return Scope.reaching(level, self.channel)

    def settle(self) -> None:
        """All that jobs and the clock would do by now."""
        drain("quick")
        enqueue(kind="channels.holds", payload={})
        drain("quick")

    def _look(self) -> None:
        self.channel = Channel.objects.select_related("organization").get(pk=self.channel.pk)
        if self.channel.head not in self.seen:
            self.seen[self.channel.head] = snapshot(self.channel.pk, self.channel.head)


@pytest.mark.parametrize("examples", [pytest.param(8, id="some"), pytest.param(300, id="many", marks=pytest.mark.long)])
def test_any_order_of_changes_and_edits_gives_what_policy_makes_of_the_facts(
    staff: Actor, organization: Organization, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch, examples: int
) -> None:
    monkeypatch.setattr(applying, "CHUNK_ROWS", 2)
    monkeypatch.setattr(applying, "PAUSE_SECONDS", 0)

    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=examples <= 8,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    @given(st.lists(_steps, min_size=6, max_size=16), st.sampled_from((2, 50)))
    def run(steps: list[tuple[Any, ...]], checkpoint_every: int) -> None:
        with patch.object(maps, "CHECKPOINT_EVERY", checkpoint_every):
            forget_everything()
            Waiver.objects.all().delete()
            for level in PolicyLevel:
                if level != PolicyLevel.CHANNEL:
                    set_policy(actor=staff, scope=Scope(level, organization if level == PolicyLevel.ORGANIZATION else None), rules={})
            channel = create_channel(actor=staff, organization=organization, name=f"c{next(_numbers)}", visibility="public")
            world = World(staff, tmp_path, channel, _START)
            for step in steps:
                world.do(*step)
            world.do("work")
            with time_machine.travel(world.now + timedelta(seconds=1), tick=True):
                _check(world, client)

    run()


def _check(world: World, client: Client) -> None:
    channel, shown = world.channel, world.seen[world.channel.head]
    assert channel.policy_state == "current"
    rules = rules_on(channel)
    expected = {subdir: set[str]() for subdir in SUBDIRS}
    doors.forget_all()
    for file in PackageFile.objects.filter(channel=channel):
        facts = view_of(channel).facts([getattr(file, one) for one in (*_COLUMNS, "record", "patch")], full=True)
        assert facts.identity == identity_of(file)
        said = verdict(facts, first_seen=file.indexed_at, now=timezone.now(), rules=rules, waivers=world.waivers)
        if file.state == "live" and said.effect == "allow":
            expected[file.subdir].add(file.filename)
        if file.state == "live":
            assert (file.verdict, file.verdict_reason) == (said.effect, said.reason)
            status = client.get(f"/channels/{channel.name}/{file.subdir}/{file.filename}").status_code
            assert status == (200 if said.effect == "allow" else 403)
        for number, past in world.seen.items():
            if file.state == "live" and file.filename in _files(past, file.subdir):
                response = client.get(f"/channels/{channel.name}@{number}/{file.subdir}/{file.filename}")
                assert response.status_code == (403 if said.effect == "deny" else 200)
    for subdir, filenames in expected.items():
        assert _files(shown, subdir) == filenames
    for past in world.seen.values():
        check_variants_agree(past)
    forget_everything()
    for number, past in world.seen.items():
        assert snapshot(channel.pk, number) == past, "the past stays"
    twin = rebuilt(world.actor, channel, f"{channel.name}-again")
    drain("quick")
    assert without_times(snapshot(twin.pk, Channel.objects.get(pk=twin.pk).head)) == without_times(shown)


_COLUMNS = ("name", "version", "build", "build_number", "subdir", "sha256", "size", "indexed_at", "first_seen_at")


def _files(shown: Snapshot, subdir: str) -> set[str]:
    whole = orjson.loads(shown[f"{subdir}/repodata.json"])
    return {*whole["packages"], *whole["packages.conda"]}


def test_every_rule_of_the_steps_can_be_read() -> None:
    assert all(read_rules(rules) is not None for rules in _RULES)
