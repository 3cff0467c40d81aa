"""Signing in: local accounts, sign-up, sessions, second factors, GitHub, GitLab, Google and OpenID Connect providers."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from condahub.settings.base import CONDAHUB_PUBLIC_URL, PUBLIC_HOST
from condahub.settings.env import env
from condahub.settings.mail import CONDAHUB_EMAIL_ENABLED

_https = urlsplit(CONDAHUB_PUBLIC_URL).scheme == "https"

# Off: nobody signs in with a password that is kept here, but whom `condahub admin unlock` lets in for a day.
CONDAHUB_LOCAL_ACCOUNTS = env.bool("CONDAHUB_LOCAL_ACCOUNTS", default=True)
# Whether strangers may make an account here by themselves.
CONDAHUB_SIGNUP = env.bool("CONDAHUB_SIGNUP", default=False)
# Whether a provider's verified address signs in to the account that has verified the same one; else both are linked by hand.
CONDAHUB_LINK_BY_EMAIL = env.bool("CONDAHUB_LINK_BY_EMAIL", default=False)

SESSION_COOKIE_AGE = env.int("CONDAHUB_SESSION_HOURS", default=336) * 3600

ACCOUNT_ADAPTER = "condahub.accounts.signin.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*" if CONDAHUB_EMAIL_ENABLED else "email", "password1*"]
ACCOUNT_SIGNUP_FORM_HONEYPOT_FIELD = "website"
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if CONDAHUB_SIGNUP and CONDAHUB_EMAIL_ENABLED else "none"
# Nobody is written to about an account that is not there.
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_EMAIL_NOTIFICATIONS = CONDAHUB_EMAIL_ENABLED
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[condahub] "
ACCOUNT_MAX_EMAIL_ADDRESSES = 5
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if _https else "http"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_FORMS = {"login": "condahub.accounts.signin.forms.SignInForm", "signup": "condahub.accounts.signin.forms.SignUpForm"}
# A company may sit behind one address. Wrong passwords are counted by condahub.accounts.signin.patience; `login_failed` is left for
# wrong codes, which only who knows the password can try.
ACCOUNT_RATE_LIMITS = {"login": "240/m/ip", "login_failed": "60/m/ip,8/300s/key"}

MFA_ADAPTER = "condahub.accounts.signin.adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = f"condahub {PUBLIC_HOST}"
MFA_TOTP_TOLERANCE = 1
# Who has no mail server can't verify an address, and needs a second factor all the same.
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
# Browsers take http://localhost for safe; no hub with an address of its own comes here.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not _https and PUBLIC_HOST == "localhost"
# Passkeys belong to a name, reached safely.
CONDAHUB_PASSKEYS = PUBLIC_HOST == "localhost" or (_https and not PUBLIC_HOST.replace(".", "").isdigit() and ":" not in PUBLIC_HOST)

USERSESSIONS_ADAPTER = "condahub.accounts.signin.adapters.SessionsAdapter"

SOCIALACCOUNT_ADAPTER = "condahub.accounts.signin.providers.ProviderAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = CONDAHUB_LINK_BY_EMAIL
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = CONDAHUB_LINK_BY_EMAIL
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
# What they would be good for is nothing that the hub does.
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_QUERY_EMAIL = True


def _known(provider: str, shown: str, settings: dict[str, Any]) -> dict[str, Any]:
    """GitHub, GitLab or Google by `CONDAHUB_<PROVIDER>_CLIENT_ID` and `_CLIENT_SECRET`; who is there gets no account by that alone."""
    prefix = f"CONDAHUB_{provider.upper()}_"
    if not env.str(f"{prefix}CLIENT_ID", default=""):
        return {}
    app = {
        "client_id": env.str(f"{prefix}CLIENT_ID"),
        "secret": env.str(f"{prefix}CLIENT_SECRET", default=""),
        "name": shown,
        "settings": {"sign_up": env.bool(f"{prefix}SIGNUP", default=False), "domains": env.list(f"{prefix}DOMAINS", default=[])},
    }
    return {provider: {**settings, "APPS": [app]}}


def _openid_connect(name: str) -> dict[str, Any]:
    """One provider of `CONDAHUB_OIDC_PROVIDERS`, by `CONDAHUB_OIDC_<NAME>_*`. It is the company's own, so it makes accounts."""
    prefix = f"CONDAHUB_OIDC_{name.upper().replace('-', '_')}_"
    settings: dict[str, Any] = {
        "server_url": env.str(f"{prefix}URL"),
        "oauth_pkce_enabled": True,
        "groups_claim": env.str(f"{prefix}GROUPS_CLAIM", default="groups"),
        "sign_up": env.bool(f"{prefix}SIGNUP", default=True),
        "domains": env.list(f"{prefix}DOMAINS", default=[]),
    }
    if scopes := env.list(f"{prefix}SCOPES", default=[]):
        settings["scope"] = scopes
    if method := env.str(f"{prefix}TOKEN_AUTH_METHOD", default=""):
        settings["token_auth_method"] = method
    return {
        "provider_id": name,
        "name": env.str(f"{prefix}NAME", default=name),
        "client_id": env.str(f"{prefix}CLIENT_ID"),
        "secret": env.str(f"{prefix}CLIENT_SECRET", default=""),
        "settings": settings,
    }


SOCIALACCOUNT_PROVIDERS: dict[str, Any] = {
    **_known("github", "GitHub", {"GITHUB_URL": env.str("CONDAHUB_GITHUB_URL", default="https://github.com"), "SCOPE": ["user:email"]}),
    **_known("gitlab", "GitLab", {"GITLAB_URL": env.str("CONDAHUB_GITLAB_URL", default="https://gitlab.com")}),
    **_known("google", "Google", {"SCOPE": ["openid", "profile", "email"], "OAUTH_PKCE_ENABLED": True}),
}
if _names := env.list("CONDAHUB_OIDC_PROVIDERS", default=[]):
    SOCIALACCOUNT_PROVIDERS["openid_connect"] = {"APPS": [_openid_connect(_name) for _name in _names]}
