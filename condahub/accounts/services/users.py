"""People and robots: made, changed, stopped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from condahub.accounts import cache
from condahub.accounts.models import MANUAL, ApiToken, Flag, Organization, RoleSource, User, UserKind
from condahub.accounts.policy import HUB, Actor, Permission, require
from condahub.accounts.services.invitations import open_invitations_of, revoke_invitations_of
from condahub.accounts.services.organizations import create_personal_organization, require_alive
from condahub.audit.services import record
from condahub.errors import Conflict, Unprocessable
from condahub.jobs import services as jobs
from condahub.names import check_name


def create_user(
    *,
    actor: Actor,
    username: str,
    password: str | None = None,
    email: str = "",
    display_name: str = "",
    is_staff: bool = False,
    is_superuser: bool = False,
    is_auditor: bool = False,
) -> User:
    """A person, with a personal organization when the setting says so. Without a password he signs in by other means."""
    require(actor, Permission.USER_MANAGE, HUB)
    if is_staff or is_superuser or is_auditor:
        require(actor, Permission.USER_PROMOTE, HUB)
    user = User(username=User.normalize_username(username), email=User.objects.normalize_email(email), display_name=display_name)
    user.is_staff, user.is_superuser, user.is_auditor = is_staff or is_superuser, is_superuser, is_auditor
    with transaction.atomic():
        _set_password(user, password)
        _save_new(user)
        if settings.CONDAHUB_PERSONAL_ORGANIZATIONS:
            create_personal_organization(user=user)
        flags = {"is_staff": user.is_staff, "is_superuser": is_superuser, "is_auditor": is_auditor}
        record(actor=actor, action="user.create", target=user.username, details=flags)
    return user


def create_robot(*, actor: Actor, organization: Organization, name: str, display_name: str = "") -> User:
    """An account for programs, which belongs to an organization and signs in with tokens only: `<organization>+<name>`."""
    require(actor, Permission.TOKEN_CREATE, organization)
    require_alive(organization)
    check_name(name, what="a robot account")
    user = User(username=f"{organization.name}+{name}", kind=UserKind.ROBOT, organization=organization, display_name=display_name)
    with transaction.atomic():
        _set_password(user, None)
        _save_new(user)
        record(actor=actor, action="robot.create", target=user.username, organization_id=organization.pk)
    return user


def update_user(
    *, actor: Actor, user: User, display_name: str | None = None, email: str | None = None, language: str | None = None
) -> User:
    """What a person may change of himself, and staff of everybody below them. language: one of `settings.LANGUAGES`, or ''."""
    if actor.user_id != user.pk or actor.token is not None:
        _require_power_over(actor, user)
    asked = {"display_name": display_name, "email": email, "language": language}
    changes = {name: value for name, value in asked.items() if value is not None}
    if language and language not in dict(settings.LANGUAGES):
        known = ", ".join(code for code, _ in settings.LANGUAGES)
        raise Unprocessable("The hub does not speak this language.", code="unknown_language", hint=f"It speaks {known}.")
    for name, value in changes.items():
        setattr(user, name, value)
    _check(user)
    with transaction.atomic():
        user.save(update_fields=[*changes])
        record(
            actor=actor,
            action="user.update",
            target=user.username,
            organization_id=user.organization_id,
            details={"changed": sorted(changes)},
        )
    return user


def set_password(*, actor: Actor, user: User, password: str) -> None:
    """Give a person a new password. Nobody resets that of somebody mightier; one's own takes a session, never a token."""
    if user.is_robot:
        raise Unprocessable("A robot account has no password.", code="robot_has_no_password", hint="Create an API token for it.")
    if actor.user_id != user.pk or actor.token is not None:
        _require_power_over(actor, user)
    with transaction.atomic():
        _set_password(user, password)
        user.save(update_fields=["password"])
        record(actor=actor, action="user.set_password", target=user.username)


def promote_user(
    *, actor: Actor, user: User, is_staff: bool | None = None, is_superuser: bool | None = None, is_auditor: bool | None = None
) -> User:
    """Make or unmake administrators, IT staff and auditors; administrators alone may."""
    require(actor, Permission.USER_PROMOTE, HUB)
    if user.is_robot:
        raise Unprocessable("A robot account can't be staff.", code="robot_is_never_staff", hint="Give it grants instead.")
    asked = {"is_staff": is_staff, "is_superuser": is_superuser, "is_auditor": is_auditor}
    changes = {name: value for name, value in asked.items() if value is not None and getattr(user, name) != value}
    _require_by_hand(user, changes)
    with transaction.atomic():
        if changes.get("is_superuser") is False:
            _require_another_administrator(user)
        for name, value in changes.items():
            setattr(user, name, value)
        user.save(update_fields=[*changes])
        record(actor=actor, action="user.promote", target=user.username, details=changes)
    return user


def deactivate_user(*, actor: Actor, user: User) -> User:
    """Stop an account with what is its own: no sign-in, no session; tokens, open invitations and long work end for good."""
    _require_power_over(actor, user)
    if actor.user_id == user.pk:
        raise Conflict("You can't deactivate yourself.", code="own_account", hint="Ask another administrator.")
    with transaction.atomic():
        if user.is_superuser:
            _require_another_administrator(user)
        close_account(actor=actor, user=user)
    return user


def close_account(*, actor: Actor, user: User, why: str = "") -> None:
    """Stop an account, its sessions, tokens, open invitations and long work. What the policy was asked for, or a directory says.

    What belongs to its organizations stays: robot accounts, webhooks, channels.
    """
    with transaction.atomic():
        user.is_active = False
        user.save(update_fields=["is_active"])
        revoked = ApiToken.objects.filter(owner=user, revoked_at__isnull=True).update(revoked_at=timezone.now())
        sessions = end_sessions(user)
        details: dict[str, Any] = {"tokens_revoked": revoked, "sessions_ended": sessions}
        details["invitations_revoked"] = revoke_invitations_of(actor=actor, user=user)
        details["jobs_cancelled"] = jobs.cancel_long_work_of(actor, user.username)
        if why:
            details["why"] = why
        record(actor=actor, action="user.deactivate", target=user.username, organization_id=user.organization_id, details=details)
        transaction.on_commit(cache.forget)


def belongings_of(users: Sequence[User]) -> dict[str, int]:
    """What ends with these accounts, counted, in words: for a question before."""
    return {
        "session(s)": UserSession.objects.filter(user__in=users).count(),
        "token(s)": ApiToken.objects.filter(owner__in=users, revoked_at__isnull=True).count(),
        "open invitation(s)": open_invitations_of(users).count(),
        "waiting or running job(s)": jobs.long_work_of([user.username for user in users]).count(),
    }


def end_sessions(user: User) -> int:
    """Every browser of that account is signed out, and stays so when the account is let in again. Returns how many."""
    rows = list(UserSession.objects.filter(user=user))
    for row in rows:
        row.end()
    return len(rows)


def unlock_user(*, actor: Actor, user: User, hours: int, keep_second_factor: bool = False) -> None:
    """Let the local password open for some hours, wherever sign-in is configured to happen. For the operator at the shell."""
    require(actor, Permission.USER_PROMOTE, HUB)
    with transaction.atomic():
        user.unlocked_until = timezone.now() + timedelta(hours=hours)
        user.save(update_fields=["unlocked_until"])
        factors = 0 if keep_second_factor else remove_second_factors(actor=actor, user=user)
        details = {"hours": hours, "second_factors_removed": factors}
        record(actor=actor, action="user.unlock", target=user.username, details=details)


def remove_second_factors(*, actor: Actor, user: User) -> int:
    """Passkeys, app and recovery codes of somebody who lost them; his sessions end. Returns how many were there."""
    _require_power_over(actor, user)
    with transaction.atomic():
        removed: int = Authenticator.objects.filter(user=user).delete()[0]
        if removed:
            end_sessions(user)
            record(actor=actor, action="second_factor.remove_all", target=user.username, details={"removed": removed})
    return removed


def reactivate_user(*, actor: Actor, user: User) -> User:
    """Let an account in again; its old tokens stay revoked."""
    _require_power_over(actor, user)
    with transaction.atomic():
        user.is_active = True
        user.save(update_fields=["is_active"])
        record(actor=actor, action="user.reactivate", target=user.username, organization_id=user.organization_id)
    return user


def _require_power_over(actor: Actor, user: User) -> None:
    """Staff over people, administrators over staff, an organization's owners over its robots."""
    if user.organization is not None:
        require(actor, Permission.TOKEN_REVOKE, user.organization)
    elif user.is_staff or user.is_superuser or user.is_auditor:
        require(actor, Permission.USER_PROMOTE, HUB)
    else:
        require(actor, Permission.USER_MANAGE, HUB)


def _require_by_hand(user: User, changes: dict[str, bool]) -> None:
    """What a directory's group gives, it would give again at the next sign-in: only there it is taken away."""
    for name, flag in (("is_staff", Flag.STAFF), ("is_auditor", Flag.AUDITOR)):
        kept = RoleSource.objects.filter(user=user, flag=flag)
        if changes.get(name) is False and (outside := kept.exclude(source=MANUAL).first()) is not None:
            raise Conflict(
                f"That comes from the group '{outside.group}' of {outside.source}.",
                code="given_from_outside",
                hint="Take the person out of that group, or delete the rule.",
            )
        if changes.get(name) is True and kept.exists():
            RoleSource.objects.get_or_create(user=user, flag=flag, team=None, source=MANUAL)


def _require_another_administrator(user: User) -> None:
    others = User.objects.select_for_update().filter(is_superuser=True, is_active=True).exclude(pk=user.pk)
    if not list(others[:1]):
        raise Conflict("This is the last administrator.", code="last_administrator", hint="Make somebody else an administrator first.")


def _set_password(user: User, password: str | None) -> None:
    if password is None:
        user.set_unusable_password()
        return
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Unprocessable(" ".join(error.messages), code="weak_password", hint="Choose another password.") from None
    user.set_password(password)


def _check(user: User, exclude: Any = ("password", "organization")) -> None:
    try:
        user.clean_fields(exclude=exclude)
    except ValidationError as error:
        sentences = " ".join(message for messages in error.message_dict.values() for message in messages)
        raise Unprocessable(sentences, hint=f"Correct: {', '.join(sorted(error.message_dict))}.") from None


def _save_new(user: User) -> None:
    _check(user)
    taken = Conflict("This user name is not available.", code="name_unavailable", hint="Choose another name.")
    # Names that differ by case alone would be taken for one another by people.
    if User.objects.filter(username__iexact=user.username).exists():
        raise taken
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:
        raise taken from None
