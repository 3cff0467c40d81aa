"""Invitations: offered to an address, mailed with a link that works once, accepted by whoever signs in with that address, taken back."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone, translation
from django.utils.translation import gettext

from condahub.accounts import secrets
from condahub.accounts.models import Grant, GrantSource, Invitation, Organization, Team, User
from condahub.accounts.policy import Actor, Permission, Role, can, require
from condahub.accounts.services.grants import grant
from condahub.accounts.services.organizations import require_alive
from condahub.accounts.services.teams import add_member, require_not_personal
from condahub.audit.services import record
from condahub.errors import Conflict, Forbidden, NotAuthenticated, NotFound, Throttled, Unprocessable
from condahub.jobs.services import enqueue
from condahub.net import mail

MAIL_KIND = "accounts.invitation_mail"
LIFE_DAYS = 14
KEPT_DAYS = 90
# In a day: of one organization, and to one address by all organizations together.
MAX_OF_AN_ORGANIZATION = 100
MAX_TO_AN_ADDRESS = 5
MAX_NAME_CHARS = 60
_RANK = {role: rank for rank, role in enumerate(Role.values)}


def invite(*, actor: Actor, organization: Organization, email: str, role: str = "", team: Team | None = None) -> Invitation:
    """Offer a role on the organization, or a place in a team of it, to an address; the mail goes out by a job.

    Whether the address has an account here is not told. Raises Forbidden, Conflict where the hub sends no mail, Unprocessable,
    Throttled.
    """
    require(actor, Permission.ORGANIZATION_MEMBERS, organization)
    if actor.user is None:
        raise NotAuthenticated
    require_alive(organization)
    require_not_personal(organization)
    address = _checked(email, role, team, organization)
    with transaction.atomic():
        # With its row taken: two at once are counted one after the other.
        Organization.objects.select_for_update().get(pk=organization.pk)
        _require_patience(organization, address)
        now = timezone.now()
        Invitation.objects.filter(organization=organization, email=address, role=role, team=team, accepted_at=None, revoked_at=None).update(
            revoked_at=now
        )
        made = Invitation.objects.create(
            organization=organization,
            team=team,
            role=role,
            email=address,
            invited_by=actor.user,
            expires_at=now + timedelta(days=LIFE_DAYS),
        )
        _record(actor, "invitation.create", made)
        enqueue(kind=MAIL_KIND, payload={"invitation": made.pk}, actor_label=actor.label)
    return made


def revoke_invitation(*, actor: Actor, invitation: Invitation) -> None:
    """Its link opens nothing any more. One that was used or taken back stays as it is."""
    require(actor, Permission.ORGANIZATION_MEMBERS, invitation.organization)
    with transaction.atomic():
        if Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None).update(revoked_at=timezone.now()):
            _record(actor, "invitation.revoke", invitation)


def open_invitations_of(users: Collection[User]) -> QuerySet[Invitation]:
    """Those that these users sent and that could still be accepted."""
    rows = Invitation.objects.filter(invited_by__in=users, accepted_at=None, revoked_at=None, expires_at__gt=timezone.now())
    return rows.select_related("organization", "team")


def revoke_invitations_of(*, actor: Actor, user: User) -> int:
    """Take back what the user sent, with his account: the caller settles who may. Returns how many."""
    found = list(open_invitations_of([user]))
    Invitation.objects.filter(pk__in=[one.pk for one in found]).update(revoked_at=timezone.now())
    for one in found:
        _record(actor, "invitation.revoke", one)
    return len(found)


def mail_invitation(invitation_id: int) -> bool:
    """Make the link and send it; False where there is nothing to send any more. To be repeated: an unsent link is made anew.

    Raises Unavailable where the mail server does not take it.
    """
    found = Invitation.objects.select_related("organization", "invited_by").filter(pk=invitation_id).first()
    if found is None or found.sent_at is not None or not found.is_open() or not settings.CONDAHUB_EMAIL_ENABLED:
        return False
    key = secrets.generate("invite")
    Invitation.objects.filter(pk=found.pk).update(hash=secrets.hash_of(key))
    with translation.override(_language_of(found.email)):
        subject = gettext("You are invited to %(organization)s") % {"organization": found.organization.name}
        mail.send(found.email, subject, _body(found, key))
    Invitation.objects.filter(pk=found.pk).update(sent_at=timezone.now())
    return True


def invitation_of(key: str) -> Invitation:
    """The open invitation of a link. Raises NotFound, the same for an unknown, used, revoked and ended one."""
    found = None
    if secrets.looks_valid(key):
        rows = Invitation.objects.select_related("organization", "team", "invited_by")
        found = rows.filter(hash=secrets.hash_of(key), organization__deleted_at=None).first()
    if found is None or not found.is_open() or not can(Actor.of(found.invited_by), Permission.ORGANIZATION_MEMBERS, found.organization):
        raise NotFound(
            "This invitation can't be used.",
            code="no_such_invitation",
            hint="It was used, taken back or is too old. Ask whoever sent it for another one.",
        )
    return found


def accept(*, actor: Actor, key: str) -> Invitation:
    """Take what is offered, once: by an account that has the address. Raises NotAuthenticated, NotFound, Forbidden `other_address`."""
    if actor.user is None or actor.token is not None:
        raise NotAuthenticated
    with transaction.atomic():
        found = invitation_of(key)
        if not has_address(actor.user, found.email):
            raise Forbidden(
                "This invitation was sent to another address than yours.",
                code="other_address",
                hint="Sign in with the account that has that address, or add and verify it under Account, E-mail.",
            )
        taken = Invitation.objects.filter(pk=found.pk, accepted_at=None, revoked_at=None)
        if not taken.update(accepted_at=timezone.now(), accepted_by=actor.user):
            raise invitation_gone()
        _give(found, actor.user)
        _record(actor, "invitation.accept", found)
    return found


def has_address(user: User, email: str) -> bool:
    """Whether the account is of that address. The link has come to its mailbox already, so an account that says so is believed: this
    keeps somebody who has several accounts, or was sent the link by mistake, from taking it with the wrong one.
    """
    if user.email.lower() == email.lower():
        return True
    return bool(EmailAddress.objects.filter(user=user, email__iexact=email, verified=True).exists())


def prune_invitations() -> int:
    """Addresses are kept no longer than anybody asks for them. Returns how many went."""
    return Invitation.objects.filter(expires_at__lt=timezone.now() - timedelta(days=KEPT_DAYS)).delete()[0]


def invitation_gone() -> NotFound:
    return NotFound("This invitation can't be used.", code="no_such_invitation", hint="It was used or taken back meanwhile.")


def _give(found: Invitation, user: User) -> None:
    """By the right of who invited, which `invitation_of` has asked for now; nobody loses a higher role by it."""
    by = Actor.of(found.invited_by)
    if found.team is not None:
        add_member(actor=by, team=found.team, user=user)
        return
    held = Grant.objects.filter(
        organization=found.organization, user=user, channel_id=None, environment_id=None, package_name="", source=GrantSource.MANUAL
    ).first()
    if held is None or _RANK[held.role] < _RANK[found.role]:
        grant(actor=by, on=found.organization, user=user, role=found.role, object_name=found.organization.name)


def _checked(email: str, role: str, team: Team | None, organization: Organization) -> str:
    if not settings.CONDAHUB_EMAIL_ENABLED:
        raise Conflict(
            "This hub sends no e-mail.", code="no_mail", hint="Give the role to a user name, or ask IT to set CONDAHUB_EMAIL_URL."
        )
    address = email.strip().lower()
    try:
        validate_email(address)
    except ValidationError:
        raise Unprocessable("This is not an e-mail address.", code="bad_email", hint="Write it as name@example.org.") from None
    if (team is None) == (not role) or (role and role not in Role.values):
        raise Unprocessable("An invitation gives a role or a team.", code="invalid_role", hint="Choose one of the two.")
    if team is not None and team.organization_id != organization.pk:
        raise Unprocessable("This team belongs to another organization.", code="foreign_team", hint="Name a team of this organization.")
    return address


def _require_patience(organization: Organization, address: str) -> None:
    lately = Invitation.objects.filter(created_at__gt=timezone.now() - timedelta(days=1))
    if (
        lately.filter(organization=organization).count() >= MAX_OF_AN_ORGANIZATION
        or lately.filter(email=address).count() >= MAX_TO_AN_ADDRESS
    ):
        raise Throttled(
            "Too many invitations were sent today.",
            code="too_many_invitations",
            hint="Try again tomorrow.",
            headers={"Retry-After": "86400"},
        )


def _body(found: Invitation, key: str) -> str:
    """No more than who invites to which organization: the address may be mistyped."""
    # A name is what its person likes: one line of it, and no link that a reader might follow.
    name = " ".join(found.invited_by.shown_name.replace("/", " ").split())[:MAX_NAME_CHARS]
    named = {"name": name, "organization": found.organization.name, "moment": f"{found.expires_at:%Y-%m-%d %H:%M} UTC"}
    lines = [
        gettext("%(name)s invites you to the organization %(organization)s.") % named,
        "",
        gettext("To accept, follow this link and sign in with this e-mail address:"),
        f"{settings.CONDAHUB_PUBLIC_URL}/ui/account/invitation/{key}",
        "",
        gettext("The link works once, until %(moment)s. If you don't know what this is about, do nothing.") % named,
    ]
    return "\n".join(lines)


def _language_of(address: str) -> str:
    """What the account with this address speaks; English for who has none here, or has not chosen."""
    found = User.objects.filter(emailaddress__email__iexact=address, emailaddress__verified=True).exclude(language="").first()
    return found.language if found is not None else settings.LANGUAGE_CODE


def _record(actor: Actor, action: str, found: Invitation) -> None:
    record(
        actor=actor,
        action=action,
        target=found.organization.name,
        organization_id=found.organization_id,
        details={"email": found.email, "role": found.role, "team": found.team.slug if found.team is not None else ""},
    )
