"""Signing in by password and second factor, sessions, sign-up, and who opens which page of it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.core import mail
from django.core.cache import cache as django_cache
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse

from condahub.accounts import services
from condahub.accounts.models import DirectoryAccount, User
from condahub.accounts.policy import SYSTEM, Actor
from condahub.audit.models import AuditEvent
from condahub.names import RESERVED_NAMES
from condahub.portal import urls_accounts

pytestmark = pytest.mark.django_db

PASSWORD = "a-scientist-signs-in-7"

# What each page answers to (nobody, somebody signed in). A number is a status; `in` the sign-in page, `own` one's own page,
# `->` on to somewhere else.
TABLE = """
login/                               200 ->
logout/                              405 405
inactive/                            200 200
signup/                              200 ->
reauthenticate/                      in  200
reauthenticate/provider/             in  200
reauthenticate/provider/done/        in  ->
email/                               ->  ->
confirm-email/                       200 200
confirm-email/{key}/                 200 200
password/reset/                      200 200
password/reset/done/                 200 200
password/reset/key/{uid}-{key}/      200 200
password/reset/key/done/             200 200
2fa/                                 in  200
2fa/authenticate/                    in  ->
2fa/reauthenticate/                  in  ->
2fa/totp/activate/                   in  ask
2fa/totp/deactivate/                 in  404
2fa/recovery-codes/                  in  404
2fa/recovery-codes/generate/         in  ask
2fa/webauthn/                        in  200
2fa/webauthn/add/                    in  ask
2fa/webauthn/login/                  ->  ->
2fa/webauthn/reauthenticate/         in  ->
2fa/webauthn/keys/{number}/edit/     in  ask
2fa/webauthn/keys/{number}/remove/   in  ask
sessions/                            in  200
linked/                              in  200
linked/cancelled/                    200 200
linked/error/                        401 401
github/login/                        404 404
github/login/callback/               404 404
gitlab/login/                        404 404
gitlab/login/callback/               404 404
google/login/                        404 404
google/login/callback/               404 404
oidc/{name}/login/                   404 404
oidc/{name}/login/callback/          404 404
"""


@pytest.fixture(autouse=True)
def _fresh() -> None:
    django_cache.clear()


@pytest.fixture
def ada() -> User:
    return services.create_user(actor=SYSTEM, username="ada", password=PASSWORD, email="ada@example.org")


def sign_in(name: str = "ada", password: str = PASSWORD, client: Client | None = None) -> Client:
    client = client or Client()
    client.post("/accounts/login/", {"username": name, "password": password})
    return client


def is_in(client: Client) -> bool:
    return client.get("/ui/account").status_code == 200


def protect(client: Client) -> tuple[str, list[str]]:
    """Set up an authenticator app as a person does; its key and the recovery codes."""
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = client.get("/accounts/2fa/totp/activate/").content.decode()
    found = re.search(r'id="totp_secret" value="(\w+)"', page)
    assert found, page
    answer = client.post("/accounts/2fa/totp/activate/", {"code": code(found[1])}, follow=True)
    shown = re.search(r'id="recovery"[^>]*>([^<]+)<', answer.content.decode())
    return found[1], shown[1].split() if shown else []


def code(secret: str, steps: int = 0) -> str:
    counter = next(iter(totp.yield_hotp_counters_from_time())) + steps
    return str(totp.format_hotp_value(totp.hotp_value(secret, counter)))


# -- the pages ---------------------------------------------------------------------------------------------------------------


def rows() -> list[tuple[str, str, str]]:
    return [tuple(line.split()) for line in TABLE.strip().splitlines()]  # type: ignore[misc]


def test_every_address_has_its_row_and_nothing_else_of_allauth_answers() -> None:
    ours = {re.sub(r"<[^>]+>", "{}", str(pattern.pattern)) for pattern in urls_accounts.urlpatterns}
    assert ours == {re.sub(r"{\w+}", "{}", path) for path, _, _ in rows()}
    names = [pattern.name for pattern in urls_accounts.urlpatterns if isinstance(pattern, URLPattern)]
    assert len(names) == len(set(names))
    for name in ("headless", "account_signup_by_passkey", "google_login_by_token", "socialaccount_signup", "mfa_signup_webauthn"):
        assert name not in get_resolver().reverse_dict, name
    assert "accounts" in RESERVED_NAMES


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_who_opens_which_page(row: tuple[str, str, str], ada: User) -> None:
    path = "/accounts/" + row[0].format(key="made-up", uid="1", number=1, name="nowhere")
    for client, told in ((Client(), row[1]), (sign_in(), row[2])):
        answer = client.get(path)
        where = urlsplit(answer.headers.get("Location", "")).path
        said = (path, told, answer.status_code, where)
        if told == "in":
            assert (answer.status_code, where) == (302, "/accounts/login/"), said
        elif told == "ask":
            assert (answer.status_code, where) == (302, "/accounts/reauthenticate/"), said
        elif told == "->":
            assert answer.status_code in (200, 302), said
        else:
            assert answer.status_code == int(told), said
        if answer.status_code == 200 and "html" in answer.headers["Content-Type"]:
            policy = answer.headers["Content-Security-Policy"]
            assert "script-src 'nonce-" in policy and "unsafe" not in policy, said
            text = answer.content.decode()
            assert not re.search(r"<script(?![^>]*(nonce=|application/json))[^>]*>", text), said
            assert not re.search(r"\son\w+=|\sstyle=", text), said
            assert "no-store" in answer.headers["Cache-Control"] or "no-cache" in answer.headers["Cache-Control"], said


def test_every_form_needs_its_csrf_token(ada: User) -> None:
    client = Client(enforce_csrf_checks=True)
    for path, _, _ in rows():
        path = "/accounts/" + path.format(key="made-up", uid="1", number=1, name="nowhere")
        assert client.post(path, {"username": "ada", "password": PASSWORD}).status_code == 403, path


# -- second factors --------------------------------------------------------------------------------------------------------------


def test_an_app_is_a_second_factor_and_recovery_codes_stand_in_for_it_once(ada: User, django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        secret, codes = protect(sign_in())
    assert len(codes) == 10
    for row in Authenticator.objects.filter(user=ada):
        assert secret not in str(row.data), "it lies sealed"
    client = sign_in()
    assert not is_in(client)
    assert client.get("/ui/").status_code == 302
    client.post("/accounts/2fa/authenticate/", {"code": "000000"})
    assert not is_in(client)
    client.post("/accounts/2fa/authenticate/", {"code": code(secret, 1)})
    assert is_in(client)
    replayed = sign_in()
    replayed.post("/accounts/2fa/authenticate/", {"code": code(secret, 1)})
    assert not is_in(replayed), "a code opens once"
    for _ in range(2):
        spare = sign_in()
        spare.post("/accounts/2fa/authenticate/", {"code": codes[0]})
        assert is_in(spare) is (_ == 0)
    actions = set(AuditEvent.objects.filter(target="ada").values_list("action", flat=True))
    assert {"second_factor.add", "session.second_factor_failed", "session.sign_in"} <= actions


def test_guessing_codes_is_slowed_down(ada: User) -> None:
    secret, _ = protect(sign_in())
    client = sign_in()
    for number in range(8):
        assert "Too many" not in client.post("/accounts/2fa/authenticate/", {"code": f"{number:06}"}).content.decode()
    assert "Too many" in client.post("/accounts/2fa/authenticate/", {"code": "000000"}).content.decode()
    another = sign_in()
    another.post("/accounts/2fa/authenticate/", {"code": code(secret)})
    assert not is_in(another), "it is the account's count, not the browser's"


def test_a_second_factor_is_changed_only_by_who_shows_again_who_he_is(ada: User) -> None:
    client = sign_in()
    for path in ("totp/activate/", "webauthn/add/"):
        assert urlsplit(client.get(f"/accounts/2fa/{path}")["Location"]).path == "/accounts/reauthenticate/"
    client.post("/accounts/reauthenticate/", {"password": "guessed"})
    assert client.get("/accounts/2fa/totp/activate/").status_code == 302


def test_who_has_no_password_here_shows_it_where_he_signs_in(ada: User, settings: Any) -> None:
    eve, otto = (services.create_user(actor=SYSTEM, username=name) for name in ("eve", "otto"))
    DirectoryAccount.objects.create(user=eve, unique_id="1", dn="uid=eve,dc=example")
    for user in (ada, otto):
        SocialAccount.objects.create(user=user, provider="company", uid=user.username)
    settings.CONDAHUB_LOCAL_ACCOUNTS = False
    for user, where in ((eve, "reauthenticate/"), (otto, "reauthenticate/provider/"), (ada, "reauthenticate/provider/")):
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        assert urlsplit(client.get("/accounts/2fa/totp/activate/")["Location"]).path == f"/accounts/{where}", user
        assert client.get(f"/accounts/{where}").status_code == 200


def test_a_foreign_protocols_sign_in_sends_second_factors_to_the_page(ada: User) -> None:
    def by_program(password: str = PASSWORD) -> Any:
        return Client().post("/conda-store/login/", {"username": "ada", "password": password}, content_type="application/json")

    assert by_program().status_code == 200
    protect(sign_in())
    refused = by_program()
    assert refused.status_code == 403 and "/accounts/login/" in refused.content.decode() and "second factor" in refused.content.decode()
    assert "second factor" not in by_program("guessed").content.decode(), "who has one is told to nobody else"


def test_tokens_work_beside_a_second_factor(ada: User) -> None:
    protect(sign_in())
    secret = services.create_token(actor=Actor.of(ada), name="ci", scopes=["full"]).secret
    assert Client(headers={"Authorization": f"Bearer {secret}"}).get("/api/hub/v1/me").status_code == 200


def test_staff_takes_a_lost_second_factor_away(ada: User) -> None:
    client = sign_in()
    protect(client)
    staff = services.create_user(actor=SYSTEM, username="it", is_staff=True)
    assert services.remove_second_factors(actor=Actor.of(staff), user=ada) == 2
    assert not is_in(client), "whoever signed in by it is out"
    assert is_in(sign_in())


# -- sessions --------------------------------------------------------------------------------------------------------------------


def test_sessions_are_listed_and_ended(ada: User) -> None:
    here, there = sign_in(), sign_in(client=Client(headers={"user-agent": "Elsewhere/1.0"}))
    page = here.get("/accounts/sessions/").content.decode()
    assert "Elsewhere/1.0" in page and "this one" in page and here.session.session_key not in page
    here.post("/accounts/sessions/")
    assert is_in(here) and not is_in(there)
    assert AuditEvent.objects.filter(action="session.end", target="ada").exists()


def test_a_deactivated_account_has_no_session_and_gets_none_back(ada: User) -> None:
    client = sign_in()
    services.deactivate_user(actor=SYSTEM, user=ada)
    assert not is_in(client) and not UserSession.objects.exists()
    assert not is_in(sign_in())
    services.reactivate_user(actor=SYSTEM, user=ada)
    assert not is_in(client), "the old session stays ended"
    assert is_in(sign_in())


# -- local accounts, sign-up, forgotten passwords -----------------------------------------------------------------------------------


def test_local_accounts_can_be_off_but_for_whom_an_operator_unlocked(ada: User, settings: Any) -> None:
    client = sign_in()
    settings.CONDAHUB_LOCAL_ACCOUNTS = False
    assert not is_in(sign_in())
    assert client.post("/ui/account/password", {"current": PASSWORD, "new": "another-good-one-8"}).status_code == 302
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD), "a password that opens nothing is not changed"
    from condahub.accounts.services import users

    users.unlock_user(actor=SYSTEM, user=ada, hours=24)
    assert is_in(sign_in())
    with pytest.raises(Exception, match=r"may not"):
        users.unlock_user(actor=Actor.of(ada), user=ada, hours=24)


def test_signing_up_is_closed_until_a_setting_opens_it(settings: Any) -> None:
    asked = {"username": "newcomer", "email": "newcomer@example.org", "password1": PASSWORD}
    assert "Accounts are given by IT" in Client().post("/accounts/signup/", asked).content.decode()
    assert not User.objects.exists()
    settings.CONDAHUB_SIGNUP = settings.CONDAHUB_EMAIL_ENABLED = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    client = Client()
    client.post("/accounts/signup/", asked)
    made = User.objects.get()
    assert made.personal_organization.name == "newcomer" and not (made.is_staff or made.is_superuser)
    assert not is_in(client) and not is_in(sign_in("newcomer"))
    by_program = Client().post("/conda-store/login/", {"username": "newcomer", "password": PASSWORD}, content_type="application/json")
    assert by_program.status_code == 403
    link = re.search(r"http://testserver(/accounts/confirm-email/\S+)", mail.outbox[0].body)
    assert link and mail.outbox[0].to == ["newcomer@example.org"]
    assert "Confirm your address" in client.get(link[1]).content.decode()
    client.post(link[1])
    assert is_in(sign_in("newcomer"))
    again = {**asked, "username": "Newcomer", "email": "other@example.org"}
    assert Client().post("/accounts/signup/", again).status_code == 200 and User.objects.count() == 1


def test_a_forgotten_password_is_mailed_to_its_owner_alone(ada: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.CONDAHUB_EMAIL_ENABLED = True
    gone = sign_in()
    for address in ("nobody@example.org", "ada@example.org"):
        answer = Client().post("/accounts/password/reset/", {"email": address})
        assert answer.status_code == 302 and answer["Location"] == "/accounts/password/reset/done/"
    assert [message.to for message in mail.outbox] == [["ada@example.org"]]
    link = re.search(r"http://testserver(/accounts/password/reset/key/\S+)", mail.outbox[0].body)
    assert link
    client = Client()
    form = client.get(link[1], follow=True)
    assert "New password" in form.content.decode() and link[1] not in form.request["PATH_INFO"]
    weak = client.post(form.request["PATH_INFO"], {"password1": "short", "password2": "short"})
    assert weak.status_code == 200
    client.post(form.request["PATH_INFO"], {"password1": "another-good-one-8", "password2": "another-good-one-8"})
    assert is_in(sign_in(password="another-good-one-8")) and not is_in(gone)
    assert "used up" in Client().get(link[1]).content.decode()
    assert AuditEvent.objects.filter(action="user.reset_password", target="ada").exists()
    settings.CONDAHUB_LOCAL_ACCOUNTS = False
    mail.outbox.clear()
    django_cache.clear()
    Client().post("/accounts/password/reset/", {"email": "ada@example.org"})
    assert mail.outbox == []


def test_addresses_are_verified_before_they_count(ada: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.CONDAHUB_EMAIL_ENABLED = True
    client = sign_in()
    assert 'name="email"' not in client.get("/ui/account").content.decode()
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert client.post(reverse("account_email"), {"action_add": "", "email": "new@example.org"}).status_code == 302
    assert client.post(reverse("account_email"), {"action_primary": "", "email": "new@example.org"}).status_code in (200, 302)
    ada.refresh_from_db()
    assert ada.email == "ada@example.org"
