"""Whatever is done to members, their order and their names, the union is what a naive model says, and nothing else is given out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from channels_app.index import maps
from channels_app.models import AllowedName, Channel, PackageFile, ReservedName, VirtualMember
from channels_app.services import states, virtual
from channels_app.services.channels import create_channel
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor
from condahub.errors import HubError
from condahub.packages.maker import make_package
from tests.channels_app.conftest import push_file
from tests.channels_app.doors_of import ask
from tests.channels_app.unions import forget, index_of

pytestmark = pytest.mark.django_db(transaction=True)

NAMES, SUBDIRS, VERSIONS = ("alpha", "beta"), ("noarch", "linux-64"), ("1.0", "2.0")
_numbers = count()
_files = st.tuples(st.sampled_from(NAMES), st.sampled_from(VERSIONS), st.sampled_from(SUBDIRS))
_verbs = st.sampled_from(sorted(states.VERBS))
_steps = st.one_of(
    st.tuples(st.just("publish"), st.integers(0, 2), _files),
    st.tuples(st.just("publish"), st.integers(0, 2), _files),
    st.tuples(st.just("publish"), st.integers(0, 2), _files),
    st.tuples(_verbs, st.integers(0, 2), _files),
    st.tuples(st.just("members"), st.lists(st.integers(0, 2), unique=True, max_size=3), st.sampled_from(("keep", "release"))),
    st.tuples(st.sampled_from(("allow", "disallow", "free")), st.sampled_from(NAMES), st.just("")),
    st.tuples(st.just("reserve"), st.sampled_from((*NAMES, "al*")), st.sampled_from((0, 1, 2, None))),
)


class Town:
    """Three channels and a union of them."""

    def __init__(self, actor: Actor, organization: Organization, folder: Path) -> None:
        number = next(_numbers)
        self.actor, self.folder = actor, folder
        self.channels = [
            create_channel(actor=actor, organization=organization, name=f"part{number}-{one}", visibility="public") for one in range(3)
        ]
        names = [one.name for one in self.channels]
        self.union = virtual.create_virtual(
            actor=actor, organization=organization, name=f"union{number}", members=names, visibility="public"
        )

    def do(self, verb: str, what: Any, how: Any) -> None:
        try:
            self._act(verb, what, how)
        except HubError as error:
            assert error.status < 500, error

    def _act(self, verb: str, what: Any, how: Any) -> None:
        place: dict[str, Any] = {"actor": self.actor, "channel": self.union}
        if verb == "publish":
            name, version, subdir = how
            # Each channel's file of a name has bytes of its own.
            path = make_package(self.folder / subdir / str(what), name, version, subdir=subdir, files={"share/of": str(what).encode()})
            push_file(self.actor, self.channels[what], path)
        elif verb == "members":
            virtual.set_members(**place, members=[self.channels[one].name for one in what], names_of_removed=how)
        elif verb == "reserve":
            virtual.reserve(**place, patterns=[what], member="" if how is None else self.channels[how].name)
        elif verb == "free":
            virtual.release(**place, patterns=[what])
        elif verb in ("allow", "disallow"):
            (virtual.allow_name if verb == "allow" else virtual.disallow_name)(**place, name=what)
        else:
            name, version, subdir = how
            files = [(subdir, f"{name}-{version}-0.conda")]
            states.change_state(actor=self.actor, channel=self.channels[what], verb=states.VERBS[verb], files=files, reason="because")

    def check(self) -> None:
        """The naive model: nothing but the rows, name by name and file by file."""
        forget()
        rows = VirtualMember.objects.filter(virtual=self.union, is_leaving=False).order_by("position")
        members = list(rows.values_list("member_id", flat=True))
        for subdir in SUBDIRS:
            index = index_of(self.union.name, subdir)
            expected: dict[str, str] = {}
            for name in NAMES:
                expected |= self._shown(self._owners(name, members), name, subdir)
            assert {filename: record["sha256"].hex() for filename, record in index.records.items()} == expected
            for sha256 in index.shards.values():
                body = ask(f"/channels/{self.union.name}/{subdir}/shards/{sha256.hex()}.msgpack.zst").body
                assert hashlib.sha256(body).digest() == sha256
            repodata = ask(f"/channels/{self.union.name}/{subdir}/repodata.json").json()
            assert {filename: one["sha256"] for filename, one in repodata["packages.conda"].items()} == expected
            self._check_bytes(subdir, expected)

    def _owners(self, name: str, members: list[int]) -> list[int]:
        reserved = {row.member_id for row in ReservedName.objects.filter(virtual=self.union) if row.pattern in (name, f"{name[:2]}*")}
        if None in reserved:
            return []
        found = [one for one in members if one in reserved or PackageFile.objects.filter(channel=one, name=name).exists()]
        return found if AllowedName.objects.filter(virtual=self.union, name=name).exists() else found[:1]

    def _shown(self, owners: list[int], name: str, subdir: str) -> dict[str, str]:
        result: dict[str, str] = {}
        for version in VERSIONS:
            filename = f"{name}-{version}-0.conda"
            for owner in owners:
                rows = list(PackageFile.objects.filter(channel=owner, subdir=subdir, filename=filename))
                if rows:
                    result.update((filename, row.sha256) for row in rows if row.state == "live")
                    break
        return result

    def _check_bytes(self, subdir: str, expected: dict[str, str]) -> None:
        for name in NAMES:
            for version in VERSIONS:
                filename = f"{name}-{version}-0.conda"
                reply = ask(f"/channels/{self.union.name}/{subdir}/{filename}", method="HEAD", data=True)
                if filename in expected:
                    assert (reply.status, reply.headers["ETag"]) == (200, f'"{expected[filename]}"')
                else:
                    yanked = PackageFile.objects.filter(channel__in=[one.pk for one in self.channels], filename=filename, state="yanked")
                    assert reply.status in (403, 404, 410) or yanked.exists()

    def images(self) -> dict[int, dict[str, bytes]]:
        head = Channel.objects.get(pk=self.union.pk).head
        found = {subdir: ask(f"/channels/{self.union.name}@{head}/{subdir}/repodata.json").body for subdir in SUBDIRS}
        return {head: found}


@pytest.mark.parametrize("examples", [pytest.param(4, id="some"), pytest.param(200, id="many", marks=pytest.mark.long)])
def test_the_union_is_what_a_naive_model_says(staff: Actor, organization: Organization, tmp_path: Path, examples: int) -> None:
    make: Callable[[], Town] = lambda: Town(staff, organization, tmp_path)  # noqa: E731

    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=examples <= 10,
        database=None,
        phases=[Phase.generate],
    )
    @given(steps=st.lists(_steps, min_size=6, max_size=16))
    def run(steps: list[tuple[str, Any, Any]]) -> None:
        town, past = make(), {}
        for step in steps:
            town.do(*step)
            town.check()
            past |= town.images()
        maps.forget_all()
        forget()
        for number, images in past.items():
            for subdir, body in images.items():
                assert ask(f"/channels/{town.union.name}@{number}/{subdir}/repodata.json").body == body

    run()
