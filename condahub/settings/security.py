"""Secret key, hosts, cookies, headers, sign-in, passwords. All that depends on the hub's address follows `CONDAHUB_PUBLIC_URL`."""

from __future__ import annotations

from urllib.parse import urlsplit

from csp.constants import NONCE, NONE, SELF

from condahub.settings.base import ANY_ADDRESS, CONDAHUB_PUBLIC_URL, DEBUG, HOST, PUBLIC_HOST
from condahub.settings.env import embedded_secret, env, own_names

SECRET_KEY = env.str("CONDAHUB_SECRET_KEY", default="") or embedded_secret("secret_key")
SECRET_KEY_FALLBACKS = env.list("CONDAHUB_SECRET_KEY_FALLBACKS", default=[])

_https = urlsplit(CONDAHUB_PUBLIC_URL).scheme == "https"

ALLOWED_HOSTS = [PUBLIC_HOST, *env.list("CONDAHUB_EXTRA_HOSTS", default=[])]
if PUBLIC_HOST in ("127.0.0.1", "localhost", "::1"):
    ALLOWED_HOSTS += ["127.0.0.1", "localhost", "[::1]"]
    if HOST in ANY_ADDRESS:
        # Who opens the hub to the network and names no address reaches it by whichever this machine has.
        ALLOWED_HOSTS += own_names()
CSRF_TRUSTED_ORIGINS = [CONDAHUB_PUBLIC_URL]

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = False
SECURE_HSTS_SECONDS = env.int("CONDAHUB_HSTS_SECONDS", default=31536000 if _https else 0)
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# For every page; the portal's own take no script or style without the nonce of the answer (condahub.portal.page), since people
# put bytes of theirs on this origin.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}

LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/ui/"
LOGOUT_REDIRECT_URL = "/accounts/login/"

if env.bool("CONDAHUB_BEHIND_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]

# A token given by the operator for automation: it acts as the first administrator.
CONDAHUB_ADMIN_TOKEN = env.str("CONDAHUB_ADMIN_TOKEN", default="")

# Whether other hosts of the domain speak https only (W005, W021) is not this hub's to say; what ends https redirects to it (W008).
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W008", "security.W021", *(["security.W018"] if DEBUG else [])]
