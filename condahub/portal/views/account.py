"""One's own account: profile, password, light and dark, and tokens."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import update_session_auth_hash
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext, ngettext

from condahub.accounts import places, selectors, services
from condahub.accounts.actors import Limit
from condahub.accounts.models import ApiToken, TokenKind, User
from condahub.accounts.permissions import SCOPE_BUNDLES
from condahub.accounts.services import NewToken
from condahub.accounts.signin import local, patience
from condahub.audit.context import address_of
from condahub.errors import HubError, Unprocessable
from condahub.portal import paging, registry
from condahub.portal.forms import PasswordForm, ProfileForm, TokenForm
from condahub.portal.language import language_of
from condahub.portal.page import PortalRequest, done, failed, page, person, safe_next, show
from condahub.portal.shell import THEME_COOKIE, THEMES

YEAR_SECONDS = 31_536_000


@page(methods=("GET", "HEAD", "POST"))
def profile(request: PortalRequest) -> HttpResponseBase:
    user = person(request)
    form = ProfileForm(request.POST or None, initial={"display_name": user.display_name, "email": user.email, "language": user.language})
    if settings.CONDAHUB_EMAIL_ENABLED:
        # Then an address is verified first, on the page of its own.
        del form.fields["email"]
    error = None
    if request.method == "POST" and form.is_valid():
        try:
            services.update_user(actor=request.actor, user=user, **form.cleaned_data)
            # What is said of it is the first sentence in the language that was chosen.
            with translation.override(language_of(request)):
                return done(request, reverse("portal:account"), gettext("Your profile is saved."))
        except HubError as refused:
            error = refused
    password_form = PasswordForm() if local.may_have_password(user) else None
    return show(request, "portal/account/profile.html", {"form": form, "password_form": password_form, "tab": "profile"}, error=error)


@page(methods=("POST",))
def password(request: PortalRequest) -> HttpResponseBase:
    user = person(request)
    form = PasswordForm(request.POST)
    path = reverse("portal:account")
    try:
        if not form.is_valid():
            raise Unprocessable(gettext("Both passwords are needed."), hint=gettext("Type the present one and the new one."))
        if not local.may_have_password(user):
            raise Unprocessable(gettext("This account has no password here."), hint=gettext("Change it where you sign in."))
        address = address_of(request.META)
        patience.require_patience(user.username, address)
        if not user.check_password(form.cleaned_data["current"]):
            patience.note_failure(user.username, address)
            raise Unprocessable(gettext("The current password is not right."), hint=gettext("Nothing was changed."))
        services.set_password(actor=request.actor, user=user, password=form.cleaned_data["new"])
    except HubError as error:
        return failed(request, path, error)
    update_session_auth_hash(request, user)
    return done(request, path, gettext("Your password is changed. Other browsers are signed out."))


@page(anonymous=True, methods=("POST",))
def theme(request: PortalRequest) -> HttpResponseBase:
    """Light, dark, or as the person's machine has it; kept in the browser."""
    wanted = request.POST.get("theme", "")
    response = done(request, safe_next(request, "/ui/"))
    if wanted in THEMES:
        secure = settings.SESSION_COOKIE_SECURE
        response.set_cookie(THEME_COOKIE, wanted, max_age=YEAR_SECONDS, samesite="Lax", secure=secure, httponly=True)
    else:
        response.delete_cookie(THEME_COOKIE, samesite="Lax")
    return response


@page()
def tokens(request: PortalRequest) -> HttpResponseBase:
    user = person(request)
    rows = selectors.tokens_of(request.actor, user)
    if "all" not in request.GET:
        # Those of the hub's own jobs live for minutes, and nobody made them by hand.
        rows = rows.filter(revoked_at__isnull=True).exclude(kind=TokenKind.JOB)
    listed = paging.stretch(request, rows, "id")
    context = {"page": listed, "tokens": token_rows(listed.rows), "all": "all" in request.GET, "tab": "tokens"}
    return show(request, "portal/account/tokens.html", context)


@page(methods=("GET", "HEAD", "POST"))
def new_token(request: PortalRequest) -> HttpResponseBase:
    """Asks what for; the answer is the only page that ever shows the secret."""
    user = person(request)
    asked = {key: request.GET.get(key, "") for key in ("channel", "purpose", "name") if request.GET.get(key)}
    form = TokenForm(request.POST or None, initial=asked)
    error = None
    if request.method == "POST" and form.is_valid():
        try:
            made = create_from(request, form, owner=user)
            return show_secret(request, made, form.cleaned_data["channel"].strip(), back=reverse("portal:tokens"))
        except HubError as refused:
            error = refused
    return show(request, "portal/account/token_new.html", {"form": form, "tab": "tokens", "back": reverse("portal:tokens")}, error=error)


@page(methods=("POST",))
def revoke_token(request: PortalRequest, number: int) -> HttpResponseBase:
    user = person(request)
    path = safe_next(request, reverse("portal:tokens"))
    token = selectors.visible_tokens(request.actor).filter(pk=number).first()
    if token is None:
        return failed(request, path, HubError(gettext("There is no such token, or it is not yours.")))
    try:
        services.revoke_token(actor=request.actor, token=token)
    except HubError as error:
        return failed(request, path, error)
    said = gettext("The token '%(name)s' is revoked; within 10 seconds it opens nothing any more.")
    if token.owner_id != user.pk:
        said = gettext("The token '%(name)s' of %(owner)s is revoked; within 10 seconds it opens nothing any more.")
    return done(request, path, said % {"name": token.name, "owner": token.owner.username})


@page(methods=("POST",))
def rotate_token(request: PortalRequest, number: int) -> HttpResponseBase:
    """A new secret in place of the one there is, which ends at once; this answer alone shows it."""
    path = safe_next(request, reverse("portal:tokens"))
    token = selectors.visible_tokens(request.actor).filter(pk=number).first()
    if token is None:
        return failed(request, path, HubError(gettext("There is no such token, or it is not yours.")))
    names = places.names_of(places.CHANNEL, [limit.channel_id for limit in token.limits.all()])
    try:
        made = services.rotate_token(actor=request.actor, token=token)
    except HubError as error:
        return failed(request, path, error)
    return show_secret(request, made, next(iter(names.values())) if len(names) == 1 else "", back=path)


def create_from(request: PortalRequest, form: TokenForm, *, owner: User) -> NewToken:
    """Make the token that a form asks for. Raises HubError."""
    channel = form.cleaned_data["channel"].strip()
    limits = []
    if channel:
        target = places.find(places.CHANNEL, request.actor, channel)
        limits = [Limit(target.organization_id, target.channel_id, "", "")]
    return services.create_token(
        actor=request.actor,
        owner=owner,
        name=form.cleaned_data["name"],
        scopes=[form.cleaned_data["purpose"]],
        limits=limits,
        expires_at=form.expires_at(),
    )


def show_secret(request: PortalRequest, made: NewToken, channel: str, *, back: str) -> HttpResponseBase:
    """The one page with the secret; no cache keeps it, and going back does not bring it again. channel: '' for more than one."""
    pastes = registry.token_pastes(request.actor, channel, made) if channel else []
    context = {"made": made, "channel": channel, "pastes": pastes, "hub": settings.CONDAHUB_PUBLIC_URL, "tab": "tokens", "back": back}
    response = show(request, "portal/account/token_made.html", context)
    response.headers["Cache-Control"] = "no-store"
    return response


def token_rows(rows: list[ApiToken]) -> list[dict[str, object]]:
    """Tokens with their state and, in words, where they may act; one query for the names of channels."""
    names = places.names_of(places.CHANNEL, [limit.channel_id for token in rows for limit in token.limits.all()])
    now = timezone.now()
    made = []
    for token in rows:
        where = [names.get(limit.channel_id or 0, gettext("a channel that is gone")) for limit in token.limits.all() if limit.channel_id]
        state = "revoked" if token.revoked_at else "active" if token.is_live(now) else "expired"
        made.append({"token": token, "state": state, "where": where, "what": purpose_of(token)})
    return made


def purpose_of(token: ApiToken) -> str:
    """The bundle that these scopes are, in a word; else how many permissions."""
    scopes = frozenset(token.scopes)
    for name, bundle in SCOPE_BUNDLES.items():
        if scopes == bundle:
            return name
    return ngettext("%(number)s permission", "%(number)s permissions", len(scopes)) % {"number": len(scopes)}
