"""Invitations: whoever has the address joins, once; nobody learns more than who invites where; what is taken back opens nothing."""

from __future__ import annotations

import re
from datetime import timedelta
from smtplib import SMTPException
from typing import Any

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client
from django.utils import timezone

from condahub.accounts import services
from condahub.accounts.models import Grant, Invitation, Organization, User
from condahub.accounts.policy import SYSTEM, Actor
from condahub.accounts.services import invitations
from condahub.audit.models import AuditEvent
from condahub.errors import Conflict, Forbidden, HubError, NotFound, Throttled, Unavailable, Unprocessable
from condahub.jobs.models import Job

PASSWORD = "a-scientist-signs-in-7"
ADDRESS = "new@example.org"


@pytest.fixture(autouse=True)
def _mail(settings: Any) -> None:
    settings.CONDAHUB_EMAIL_ENABLED = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


def _sent(invitation: Invitation) -> str:
    """The key in the mail that was sent for it."""
    assert invitations.mail_invitation(invitation.pk)
    found = re.search(r"/ui/account/invitation/(\S+)", mail.outbox[-1].body)
    assert found
    return found.group(1)


def _invite(acme: Organization, owner: User, **offer: Any) -> Invitation:
    return services.invite(actor=Actor.of(owner), organization=acme, email=ADDRESS, **(offer or {"role": "contributor"}))


def _person(name: str = "newcomer", email: str = ADDRESS) -> User:
    return services.create_user(actor=SYSTEM, username=name, email=email, password=PASSWORD)


def test_an_invited_person_signs_in_and_joins_once(acme: Organization, owner: User) -> None:
    key = _sent(_invite(acme, owner))
    newcomer = _person()
    client = Client()
    opened = client.get(f"/ui/account/invitation/{key}")
    assert opened["Location"] == "/ui/account/invitation"
    told = client.get("/ui/account/invitation").content.decode()
    assert "You are invited to acme" in told and "/accounts/login/?next=/ui/account/invitation" in told and key not in told
    signed_in = client.post("/accounts/login/", {"username": "newcomer", "password": PASSWORD, "next": "/ui/account/invitation"})
    assert signed_in["Location"] == "/ui/account/invitation"
    assert "Accept" in client.get("/ui/account/invitation").content.decode()
    assert client.post("/ui/account/invitation")["Location"] == "/ui/acme"
    assert Grant.objects.get(user=newcomer).role == "contributor"
    assert client.post("/ui/account/invitation").status_code == 404
    with pytest.raises(NotFound):
        services.accept(actor=Actor.of(newcomer), key=key)
    assert [event.action for event in AuditEvent.objects.filter(action__startswith="invitation.").order_by("id")] == [
        "invitation.create",
        "invitation.accept",
    ]
    assert key not in str(list(AuditEvent.objects.values())) + str(list(Job.objects.values())) + str(list(Invitation.objects.values()))


def test_the_mail_says_who_and_where_and_nothing_else(acme: Organization, owner: User) -> None:
    owner.display_name = "Olga\nwrites http://elsewhere.example/"
    owner.save()
    team = services.create_team(actor=Actor.of(owner), organization=acme, slug="secret-team")
    _sent(_invite(acme, owner, team=team))
    [message] = mail.outbox
    assert message.to == [ADDRESS] and message.subject == "[condahub] You are invited to acme"
    assert message.body.startswith("Olga writes http: elsewhere.example invites you to the organization acme.\n")
    assert "secret-team" not in message.body and "contributor" not in message.body


def test_a_team_is_joined_and_no_role_is_lowered(acme: Organization, owner: User) -> None:
    newcomer = _person(email="")
    EmailAddress.objects.create(user=newcomer, email=ADDRESS.upper(), verified=True)
    team = services.create_team(actor=Actor.of(owner), organization=acme, slug="core")
    services.accept(actor=Actor.of(newcomer), key=_sent(_invite(acme, owner, team=team)))
    assert newcomer.groups.filter(team=team).exists()
    services.grant(actor=Actor.of(owner), on=acme, role="maintainer", user=newcomer)
    services.accept(actor=Actor.of(newcomer), key=_sent(_invite(acme, owner, role="reader")))
    assert Grant.objects.get(user=newcomer).role == "maintainer"


def test_another_address_is_not_let_in(acme: Organization, owner: User) -> None:
    key = _sent(_invite(acme, owner))
    other = _person(email="other@example.org")
    EmailAddress.objects.create(user=other, email=ADDRESS, verified=False)
    with pytest.raises(Forbidden, match="another address"):
        services.accept(actor=Actor.of(other), key=key)
    assert not Grant.objects.filter(user=other).exists()
    assert Invitation.objects.get().accepted_at is None


def test_what_is_taken_back_ended_or_without_its_inviter_opens_nothing(acme: Organization, owner: User, staff: User) -> None:
    newcomer, by = Actor.of(_person()), Actor.of(owner)

    def refused(key: str) -> bool:
        with pytest.raises(NotFound) as error:
            services.accept(actor=newcomer, key=key)
        return error.value.code == "no_such_invitation"

    taken_back = _invite(acme, owner)
    key = _sent(taken_back)
    services.revoke_invitation(actor=by, invitation=taken_back)
    assert refused(key)
    key = _sent(_invite(acme, owner))
    with time_machine.travel(timezone.now() + timedelta(days=invitations.LIFE_DAYS, seconds=1)):
        assert refused(key)
    again = _sent(_invite(acme, owner))
    assert refused(key), "a new one replaces the one before"
    second = services.create_user(actor=SYSTEM, username="second")
    services.grant(actor=by, on=acme, role="owner", user=second)
    services.revoke_grant(actor=Actor.of(staff), grant=Grant.objects.get(user=owner))
    assert refused(again), "who may invite nobody any more has invited nobody"
    assert refused("chub-invite-nonsense") and refused("")


def test_only_owners_invite_and_not_without_end(acme: Organization, members: dict[str, User], owner: User, settings: Any) -> None:
    with pytest.raises(Forbidden):
        services.invite(actor=Actor.of(members["maintainer"]), organization=acme, email=ADDRESS, role="reader")
    for wrong in ({"role": "king"}, {}, {"role": "reader", "email": "nobody"}):
        with pytest.raises(Unprocessable):
            services.invite(actor=Actor.of(owner), organization=acme, **{"email": ADDRESS, **wrong})
    for _ in range(invitations.MAX_TO_AN_ADDRESS):
        _invite(acme, owner)
    with pytest.raises(Throttled):
        _invite(acme, owner)
    settings.CONDAHUB_EMAIL_ENABLED = False
    with pytest.raises(Conflict):
        _invite(acme, owner)
    personal = Organization.objects.get(personal_of=owner)
    settings.CONDAHUB_EMAIL_ENABLED = True
    with pytest.raises(HubError):
        services.invite(actor=Actor.of(owner), organization=personal, email=ADDRESS, role="reader")


def test_a_mail_that_did_not_go_is_tried_again(acme: Organization, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _invite(acme, owner)

    def fail(*args: Any) -> None:
        raise SMTPException("no")

    with monkeypatch.context() as patched:
        patched.setattr("django.core.mail.EmailMessage.send", fail)
        with pytest.raises(Unavailable):
            invitations.mail_invitation(made.pk)
    assert _sent(made)
    assert not invitations.mail_invitation(made.pk), "sent once"
    with time_machine.travel(timezone.now() + timedelta(days=invitations.LIFE_DAYS + invitations.KEPT_DAYS + 1)):
        assert invitations.prune_invitations() == 1


def test_an_invited_person_makes_an_account_through_the_ordinary_door(acme: Organization, owner: User, settings: Any) -> None:
    settings.CONDAHUB_SIGNUP = True
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    link, client = f"/ui/account/invitation/{_sent(_invite(acme, owner))}", Client()
    assert "/accounts/signup/?next=/ui/account/invitation" in client.get(link, follow=True).content.decode()
    client.post("/accounts/signup/", {"username": "newcomer", "email": ADDRESS, "password1": PASSWORD, "next": "/ui/account/invitation"})
    confirm = re.search(r"http://testserver(/accounts/confirm-email/\S+)", mail.outbox[-1].body)
    assert confirm and client.post("/ui/account/invitation").status_code == 401
    client.post(confirm[1])
    client.post("/accounts/login/", {"username": "newcomer", "password": PASSWORD})
    client.get(link)
    assert client.post("/ui/account/invitation")["Location"] == "/ui/acme"
    assert Grant.objects.get(user__username="newcomer").role == "contributor"
