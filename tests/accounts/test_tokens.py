"""API tokens: who they are, how far they reach, how soon they stop, what they cost."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from condahub.accounts import cache, services, uses
from condahub.accounts.actors import Limit
from condahub.accounts.authentication import actor_from_headers
from condahub.accounts.models import ApiToken, Grant, Organization, TokenLimit, User
from condahub.accounts.permissions import FULL_SCOPE, HUB, SCOPE_BUNDLES
from condahub.accounts.policy import SYSTEM, AccessTarget, Actor, Permission, Role, can, permissions_on, readable
from condahub.accounts.secrets import generate
from condahub.accounts.services.tokens import expand_scopes
from condahub.audit.models import AuditEvent
from condahub.errors import Forbidden, HubError, NotAuthenticated, Unprocessable
from tests.accounts.conftest import CHANNEL, OTHER_CHANNEL

P = Permission


def token_for(user: User, *scopes: str, limits: tuple[Limit, ...] = (), **more: object) -> str:
    return services.create_token(actor=Actor.of(user), name="test", scopes=scopes or ("full",), limits=limits, **more).secret  # type: ignore[arg-type]


def signed_in(secret: str) -> Actor:
    return actor_from_headers({"HTTP_AUTHORIZATION": f"Bearer {secret}", "REMOTE_ADDR": "10.1.2.3"})


def basic(user: str, password: str) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_a_token_is_taken_from_every_place_where_clients_put_it(owner: User) -> None:
    secret = token_for(owner)
    sent: list[dict[str, str]] = [
        {"HTTP_AUTHORIZATION": f"Bearer {secret}"},
        {"HTTP_AUTHORIZATION": f"bearer  {secret}"},
        {"HTTP_AUTHORIZATION": f"token {secret}"},
        {"HTTP_X_API_KEY": secret},
        basic("whoever", secret),
        basic(secret, ""),
    ]
    for meta in sent:
        assert actor_from_headers(meta).user == owner, meta
    assert actor_from_headers({}, path_token=secret).user == owner
    assert actor_from_headers({}).is_anonymous


def test_the_first_of_path_authorization_and_key_counts_and_a_wrong_one_beside_it_is_refused(owner: User, outsider: User) -> None:
    one, other = token_for(owner), token_for(outsider)
    assert actor_from_headers({"HTTP_X_API_KEY": other, "HTTP_AUTHORIZATION": f"Bearer {one}"}).user == owner
    assert actor_from_headers({"HTTP_AUTHORIZATION": f"Bearer {one}"}, path_token=other).user == outsider
    with pytest.raises(NotAuthenticated):
        actor_from_headers({"HTTP_X_API_KEY": generate("user"), "HTTP_AUTHORIZATION": f"Bearer {one}"})


@pytest.mark.parametrize(
    "header",
    [
        "Bearer nonsense",
        "Basic !!!",
        "Basic " + base64.b64encode(b"\xff\xfe").decode(),
        "Digest x",
        "Bearer " + "a" * 5000,
        "Bearer \x00",
        "Bearer é",
    ],
)
def test_what_is_no_token_is_401_and_asks_nobody(header: str, db: None, django_assert_num_queries: Callable[..., object]) -> None:
    with django_assert_num_queries(0), pytest.raises(NotAuthenticated):
        actor_from_headers({"HTTP_AUTHORIZATION": header})


def test_an_unknown_expired_or_revoked_token_and_one_of_a_stopped_owner_get_the_same_answer(owner: User, admin: User) -> None:
    expired, revoked, stopped = token_for(owner), token_for(owner), token_for(owner)
    tokens = list(ApiToken.objects.order_by("pk"))
    ApiToken.objects.filter(pk=tokens[0].pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    services.revoke_token(actor=Actor.of(owner), token=tokens[1])
    answers = []
    for secret in (generate("user"), expired, revoked):
        with pytest.raises(NotAuthenticated) as refused:
            signed_in(secret)
        answers.append((refused.value.as_dict(), refused.value.headers))
    services.deactivate_user(actor=Actor.of(admin), user=owner)
    with pytest.raises(NotAuthenticated) as refused:
        signed_in(stopped)
    answers.append((refused.value.as_dict(), refused.value.headers))
    assert all(answer == answers[0] for answer in answers)


def test_a_stopped_account_gets_no_token_back_when_it_is_let_in_again(owner: User, admin: User) -> None:
    secret = token_for(owner)
    services.deactivate_user(actor=Actor.of(admin), user=owner)
    services.reactivate_user(actor=Actor.of(admin), user=owner)
    with pytest.raises(NotAuthenticated):
        signed_in(secret)


def test_only_a_hash_is_kept_and_the_secret_shows_in_no_repr(owner: User) -> None:
    made = services.create_token(actor=Actor.of(owner), name="ci", scopes=["ci"])
    row = ApiToken.objects.filter(pk=made.token.pk).values().get()
    assert made.secret not in str(row)
    assert made.secret not in repr(made)
    assert made.secret.startswith(made.token.prefix)


def test_scopes_narrow_and_never_take_away_what_anybody_may_read(members: dict[str, User], channel: AccessTarget) -> None:
    actor = signed_in(token_for(members["owner"], "upload"))
    assert permissions_on(actor, channel) == {P.PACKAGE_UPLOAD}
    assert can(actor, P.CHANNEL_READ, replace(channel, visibility="public"))
    assert not can(actor, P.CHANNEL_READ, replace(channel, visibility="internal"))
    assert not readable(actor).signed_in


def test_a_token_limited_to_a_channel_reads_public_ones_and_nothing_else_private(
    owner: User, acme: Organization, channel: AccessTarget
) -> None:
    actor = signed_in(token_for(owner, limits=(Limit(acme.pk, CHANNEL, "", ""),)))
    other = replace(channel, channel_id=OTHER_CHANNEL)
    assert can(actor, P.CHANNEL_DELETE, channel)
    assert not can(actor, P.CHANNEL_READ, other)
    assert not can(actor, P.CHANNEL_READ, replace(other, visibility="internal"))
    assert can(actor, P.CHANNEL_READ, replace(other, visibility="public"))
    assert not can(actor, P.CHANNEL_CREATE, acme)
    assert not can(actor, P.CHANNEL_READ, AccessTarget(owner.personal_organization.pk, channel_id=CHANNEL))


def test_a_token_limited_to_a_package_uploads_it_alone_and_reads_its_channel(
    owner: User, acme: Organization, channel: AccessTarget
) -> None:
    actor = signed_in(token_for(owner, limits=(Limit(acme.pk, CHANNEL, "foo", ""),)))
    assert can(actor, P.PACKAGE_UPLOAD, replace(channel, package_name="foo"))
    assert not can(actor, P.PACKAGE_UPLOAD, replace(channel, package_name="bar"))
    assert not can(actor, P.PACKAGE_UPLOAD, channel)
    assert permissions_on(actor, channel) == {P.CHANNEL_READ}


def test_a_limit_with_a_role_holds_its_token_to_that_role_there(owner: User, acme: Organization, channel: AccessTarget) -> None:
    limits = (Limit(acme.pk, CHANNEL, "", "reader"), Limit(acme.pk, OTHER_CHANNEL, "", "maintainer"))
    actor = signed_in(token_for(owner, limits=limits))
    assert not can(actor, P.PACKAGE_UPLOAD, channel)
    assert can(actor, P.CHANNEL_READ, channel)
    assert can(actor, P.PACKAGE_DELETE, replace(channel, channel_id=OTHER_CHANNEL))
    assert not can(actor, P.PACKAGE_PURGE, replace(channel, channel_id=OTHER_CHANNEL))


def test_a_limit_whose_object_is_gone_leaves_nothing_rather_than_everything(owner: User, acme: Organization, channel: AccessTarget) -> None:
    secret = token_for(owner, limits=(Limit(acme.pk, CHANNEL, "", ""),))
    assert can(signed_in(secret), P.CHANNEL_READ, channel)
    services.drop_channel(actor=SYSTEM, channel_id=CHANNEL)
    assert not TokenLimit.objects.exists()
    actor = signed_in(secret)
    assert permissions_on(actor, channel) == frozenset()
    assert permissions_on(actor, owner.personal_organization) == frozenset()


def test_losing_a_grant_narrows_every_token(members: dict[str, User], channel: AccessTarget) -> None:
    secret = token_for(members["contributor"])
    assert can(signed_in(secret), P.PACKAGE_UPLOAD, channel)
    given = Grant.objects.get(user=members["contributor"])
    services.revoke_grant(actor=Actor.of(members["owner"]), grant=given)
    assert not can(signed_in(secret), P.PACKAGE_UPLOAD, channel)


def test_staff_power_is_narrowed_by_the_token_too(staff: User, acme: Organization, channel: AccessTarget) -> None:
    read_only = signed_in(token_for(staff, "read"))
    assert not read_only.is_staff
    assert can(read_only, P.CHANNEL_READ, channel)
    assert not can(read_only, P.PACKAGE_UPLOAD, channel)
    limited = signed_in(token_for(staff, limits=(Limit(acme.pk, None, "", ""),)))
    assert not limited.is_staff
    assert not can(limited, P.USER_MANAGE, HUB)
    assert readable(limited).organization_ids == {acme.pk}
    assert not readable(limited).all
    assert signed_in(token_for(staff)).is_staff


def test_a_cold_token_and_its_decision_take_two_queries_a_warm_one_none(
    members: dict[str, User], channel: AccessTarget, django_assert_num_queries: Callable[..., object]
) -> None:
    limits = (Limit(channel.organization_id, CHANNEL, "", ""), Limit(channel.organization_id, OTHER_CHANNEL, "", ""))
    secret = token_for(members["reader"], "ci", limits=limits)
    with django_assert_num_queries(2):
        assert can(signed_in(secret), P.CHANNEL_READ, channel)
    with django_assert_num_queries(0):
        assert can(signed_in(secret), P.CHANNEL_READ, channel)
        assert not can(signed_in(secret), P.PACKAGE_DELETE, channel)


def test_a_revocation_made_by_another_process_acts_within_ten_seconds(
    members: dict[str, User], channel: AccessTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = token_for(members["reader"])
    assert can(signed_in(secret), P.CHANNEL_READ, channel)
    # Updates of querysets tell no signal, just as another process tells this one nothing.
    ApiToken.objects.filter(owner=members["reader"]).update(revoked_at=timezone.now())
    assert signed_in(secret).user == members["reader"]
    later = cache.clock() + 10
    monkeypatch.setattr(cache, "clock", lambda: later)
    with pytest.raises(NotAuthenticated):
        signed_in(secret)


def test_a_grant_taken_by_another_process_acts_within_ten_seconds(
    members: dict[str, User], channel: AccessTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = token_for(members["reader"])
    assert can(signed_in(secret), P.CHANNEL_READ, channel)
    Grant.objects.filter(user=members["reader"])._raw_delete("default")
    later = cache.clock() + 10
    monkeypatch.setattr(cache, "clock", lambda: later)
    assert not can(signed_in(secret), P.CHANNEL_READ, channel)


def test_a_token_that_expires_while_it_is_remembered_stops_at_that_moment(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = token_for(owner, expires_at=timezone.now() + timedelta(hours=1))
    signed_in(secret)
    later = timezone.now() + timedelta(hours=2)
    monkeypatch.setattr("django.utils.timezone.now", lambda: later)
    with pytest.raises(NotAuthenticated):
        signed_in(secret)


def test_what_was_read_before_a_change_is_not_remembered_after_it(owner: User) -> None:
    before = cache.generation()
    cache.forget()
    cache.remember("0" * 64, Actor.of(owner), read_in=before)
    assert cache.recall("0" * 64) is None


def test_a_robot_signs_in_with_tokens_only_and_stops_with_its_organization(acme: Organization, owner: User, channel: AccessTarget) -> None:
    boss = Actor.of(owner)
    robot = services.create_robot(actor=boss, organization=acme, name="ci")
    services.grant(actor=boss, on=channel, role="contributor", user=robot)
    made = services.create_token(actor=boss, name="ci", scopes=["ci"], owner=robot)
    assert made.token.kind == "robot"
    assert can(signed_in(made.secret), P.PACKAGE_UPLOAD, channel)
    robot.password = owner.password
    assert not robot.check_password("")
    services.delete_organization(actor=boss, organization=acme)
    with pytest.raises(NotAuthenticated):
        signed_in(made.secret)


def test_the_operators_token_acts_as_the_first_administrator(admin: User, settings: LazySettings) -> None:
    settings.CONDAHUB_ADMIN_TOKEN = "operators-own-choice-of-token"
    actor = signed_in("operators-own-choice-of-token")
    assert actor.user == admin
    assert actor.is_staff
    assert actor.token_prefix == "admin token"
    with pytest.raises(NotAuthenticated):
        signed_in("operators-own-choice-of-tokem")
    # Nobody's row, and yet its uses are on record: the first of a day and address.
    with transaction.atomic():
        uses.flush()
    used = AuditEvent.objects.get(action="token.use")
    assert (used.actor_label, used.token_prefix, used.target) == (admin.username, "admin token", "CONDAHUB_ADMIN_TOKEN")
    settings.CONDAHUB_ADMIN_TOKEN = ""
    with pytest.raises(NotAuthenticated):
        signed_in("operators-own-choice-of-token")


def test_a_token_makes_no_token_mightier_than_itself(owner: User, acme: Organization) -> None:
    ends = timezone.now() + timedelta(days=1)
    mine = Limit(acme.pk, CHANNEL, "", "maintainer")
    secret = token_for(owner, "read", "token:create", limits=(mine,), expires_at=ends)
    actor = signed_in(secret)
    made = services.create_token(actor=actor, name="child", scopes=["read"])
    assert made.token.is_limited
    assert made.token.expires_at == ends
    assert [row.channel_id for row in made.token.limits.all()] == [CHANNEL]
    attempts: list[dict[str, object]] = [
        {"scopes": ["full"]},
        {"scopes": ["upload"]},
        {"scopes": ["read"], "limits": (Limit(acme.pk, None, "", ""),)},
        {"scopes": ["read"], "limits": (Limit(acme.pk, OTHER_CHANNEL, "", "reader"),)},
        {"scopes": ["read"], "limits": (Limit(acme.pk, CHANNEL, "", ""),)},
        {"scopes": ["read"], "limits": (Limit(acme.pk, CHANNEL, "", "owner"),)},
        {"scopes": ["read"], "expires_at": ends + timedelta(seconds=1)},
    ]
    for attempt in attempts:
        with pytest.raises(Forbidden):
            services.create_token(actor=actor, name="child", **attempt)  # type: ignore[arg-type]
    services.create_token(actor=actor, name="child", scopes=["read"], limits=(Limit(acme.pk, CHANNEL, "foo", "reader"),))
    with pytest.raises(Forbidden):
        services.create_token(actor=signed_in(token_for(owner, "read")), name="child", scopes=["read"])


def test_a_token_can_not_rotate_a_mightier_one_of_its_owner_into_its_own_hands(owner: User, acme: Organization) -> None:
    mighty = services.create_token(actor=Actor.of(owner), name="all", scopes=["full"]).token
    weak = signed_in(token_for(owner, "token:create", "token:revoke", "read", limits=(Limit(acme.pk, None, "", ""),)))
    with pytest.raises(Forbidden):
        services.rotate_token(actor=weak, token=mighty)
    wide = services.create_token(actor=Actor.of(owner), name="wide", scopes=["read"]).token
    with pytest.raises(Forbidden):
        services.rotate_token(actor=weak, token=wide)
    within = services.create_token(actor=Actor.of(owner), name="within", scopes=["read"], limits=(Limit(acme.pk, CHANNEL, "", ""),)).token
    assert services.rotate_token(actor=weak, token=within).token.is_limited


def test_nobody_makes_tokens_for_other_people_nor_for_robots_of_others(
    owner: User, outsider: User, staff: User, acme: Organization
) -> None:
    robot = services.create_robot(actor=Actor.of(owner), organization=acme, name="ci")
    for actor, whose in ((staff, owner), (outsider, owner), (outsider, robot)):
        with pytest.raises(Forbidden):
            services.create_token(actor=Actor.of(actor), name="x", scopes=["read"], owner=whose)
    with pytest.raises(NotAuthenticated):
        services.create_token(actor=Actor.anonymous(), name="x", scopes=["read"])


@pytest.mark.parametrize(
    "wrong",
    [{"scopes": []}, {"scopes": ["everything"]}, {"name": " "}, {"name": "a\nb"}, {"expires_at": timezone.now() - timedelta(days=1)}],
)
def test_what_makes_no_sense_is_422_with_a_hint(owner: User, wrong: dict[str, object]) -> None:
    with pytest.raises(Unprocessable) as refused:
        services.create_token(actor=Actor.of(owner), **{"name": "x", "scopes": ["read"], **wrong})  # type: ignore[arg-type]
    assert refused.value.hint


def test_limits_do_not_tell_which_organizations_exist(outsider: User, acme: Organization) -> None:
    answers: list[dict[str, str]] = []
    for organization_id in (acme.pk, 999_999):
        with pytest.raises(HubError) as refused:
            token_for(outsider, limits=(Limit(organization_id, None, "", ""),))
        answers.append(refused.value.as_dict())
    assert answers[0] == answers[1]


def test_rotation_gives_the_same_power_and_ends_the_old_secret_now_or_after_an_overlap(owner: User, acme: Organization) -> None:
    old = services.create_token(actor=Actor.of(owner), name="ci", scopes=["ci"], limits=(Limit(acme.pk, CHANNEL, "foo", "contributor"),))
    new = services.rotate_token(actor=Actor.of(owner), token=old.token, overlap=timedelta(hours=1))
    assert signed_in(old.secret).limits() == signed_in(new.secret).limits()
    assert new.token.scopes == old.token.scopes
    newest = services.rotate_token(actor=signed_in(new.secret) if "*" in new.token.scopes else Actor.of(owner), token=new.token)
    with pytest.raises(NotAuthenticated):
        signed_in(new.secret)
    assert signed_in(newest.secret).user == owner


def test_a_token_may_end_itself_and_nobody_elses(owner: User, outsider: User) -> None:
    actor = signed_in(token_for(owner, "read"))
    other = services.create_token(actor=Actor.of(outsider), name="x", scopes=["read"]).token
    with pytest.raises(Forbidden):
        services.revoke_token(actor=actor, token=other)
    assert actor.token is not None
    services.revoke_token(actor=actor, token=actor.token)
    assert ApiToken.objects.get(pk=actor.token.pk).revoked_at is not None


def test_uses_are_written_together_and_audited_once_a_day_and_address(owner: User) -> None:
    secrets = [token_for(owner) for _ in range(3)]
    for secret, _ in product(secrets, range(4)):
        signed_in(secret)
    with CaptureQueriesContext(connection) as queries:
        assert uses.flush() == 3
    assert len([query for query in queries if query["sql"].startswith("UPDATE")]) == 1
    assert set(ApiToken.objects.values_list("last_used_from", flat=True)) == {"10.1.2.3"}
    assert AuditEvent.objects.filter(action="token.use").count() == 3
    # Another process that has seen the same uses.
    uses.reset()
    signed_in(secrets[0])
    uses.flush()
    assert AuditEvent.objects.filter(action="token.use").count() == 3
    actor_from_headers({"HTTP_X_API_KEY": secrets[0], "REMOTE_ADDR": "::1"})
    uses.flush()
    assert AuditEvent.objects.filter(action="token.use", address="::1").count() == 1


ROLES = st.sampled_from(["", *Role.values])
# (home, nth channel of it or None, package name)
PLACES = st.tuples(st.sampled_from([0, 1]), st.sampled_from([None, 1, 2]), st.sampled_from(["", "foo"]))
SCOPES = st.lists(st.sampled_from([*SCOPE_BUNDLES, *(p.value for p in Permission), FULL_SCOPE]), min_size=1, max_size=5)


Place = tuple[int, int | None, str]


def place(home: Organization, nth: int | None, package: str) -> dict[str, object]:
    """The columns of a grant or limit; ids of channels are unique among organizations."""
    return {"organization": home, "channel_id": None if nth is None else home.pk * 10 + nth, "package_name": package if nth else ""}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    grants=st.lists(st.tuples(PLACES, st.sampled_from(Role.values)), max_size=4),
    limits=st.lists(st.tuples(PLACES, ROLES), max_size=3),
    scopes=SCOPES,
)
def test_a_token_never_may_what_its_owner_may_not_and_lists_agree(
    db: None, grants: list[tuple[Place, str]], limits: list[tuple[Place, str]], scopes: list[str]
) -> None:
    """For any grants, scopes and limits, on every kind of object: within the owner's power and the scopes; `can` and `readable` agree."""
    with transaction.atomic():
        homes = [Organization.objects.create(name=f"home-{number}") for number in range(2)]
        user = User.objects.create(username="somebody")
        for (home, nth, package), role in grants:
            Grant.objects.get_or_create(**place(homes[home], nth, package), user=user, defaults={"role": role})
        token = ApiToken.objects.create(
            owner=user, hash="0" * 64, prefix="x", scopes=sorted(expand_scopes(scopes)), is_limited=bool(limits)
        )
        for (home, nth, package), role in limits:
            TokenLimit.objects.get_or_create(**place(homes[home], nth, package), token=token, defaults={"role": role})
        owner, holder = Actor.of(user), Actor(user=user, token=token)
        reach = readable(holder)
        for home, nth, package, visibility in product(homes, (None, 1, 2), ("", "foo"), ("private", "internal", "public")):
            where = place(home, nth, package)
            target = AccessTarget(home.pk, where["channel_id"], str(where["package_name"]), visibility=visibility)  # type: ignore[arg-type]
            held = permissions_on(holder, target)
            assert held <= permissions_on(owner, target)
            assert FULL_SCOPE in token.scopes or {p.value for p in held - permissions_on(Actor.anonymous(), target)} <= set(token.scopes)
            assert held == {permission for permission in Permission if can(holder, permission, target)}
            if nth is not None and not package:
                internal = home.pk in reach.internal_organization_ids or target.channel_id in reach.internal_channel_ids
                listed = home.pk in reach.organization_ids or target.channel_id in reach.channel_ids or visibility == "public"
                listed = listed or (visibility == "internal" and (reach.signed_in or internal))
                assert listed == (P.CHANNEL_READ in held)
        transaction.set_rollback(True)
