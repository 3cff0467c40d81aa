"""LDAP and Active Directory by `CONDAHUB_LDAP_*`; off where no `CONDAHUB_LDAP_URL` is given."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from condahub.settings.base import AUTHENTICATION_BACKENDS as _backends
from condahub.settings.env import env

NETWORK_SECONDS = 5

CONDAHUB_LDAP_URL = env.str("CONDAHUB_LDAP_URL", default="")
CONDAHUB_LDAP_ACTIVE_DIRECTORY = env.bool("CONDAHUB_LDAP_ACTIVE_DIRECTORY", default=False)
_active = CONDAHUB_LDAP_ACTIVE_DIRECTORY

# Whom this does not find is not there, and whose account is deactivated at the next look: Active Directory's disabled people too.
CONDAHUB_LDAP_USER_BASE = env.str("CONDAHUB_LDAP_USER_BASE", default="")
CONDAHUB_LDAP_USER_FILTER = env.str(
    "CONDAHUB_LDAP_USER_FILTER",
    default="(&(objectCategory=person)(sAMAccountName=%(user)s)(!(userAccountControl:1.2.840.113556.1.4.803:=2)))"
    if _active
    else "(uid=%(user)s)",
)
CONDAHUB_LDAP_ID_ATTRIBUTE = env.str("CONDAHUB_LDAP_ID_ATTRIBUTE", default="objectGUID" if _active else "entryUUID")
CONDAHUB_LDAP_NAME_ATTRIBUTE = env.str("CONDAHUB_LDAP_NAME_ATTRIBUTE", default="sAMAccountName" if _active else "uid")
CONDAHUB_LDAP_EMAIL_ATTRIBUTE = env.str("CONDAHUB_LDAP_EMAIL_ATTRIBUTE", default="mail")
CONDAHUB_LDAP_SHOWN_NAME_ATTRIBUTE = env.str("CONDAHUB_LDAP_SHOWN_NAME_ATTRIBUTE", default="displayName" if _active else "cn")
CONDAHUB_LDAP_GROUP_BASE = env.str("CONDAHUB_LDAP_GROUP_BASE", default="")
CONDAHUB_LDAP_GROUP_FILTER = env.str("CONDAHUB_LDAP_GROUP_FILTER", default="(objectClass=group)" if _active else "(objectClass=*)")
CONDAHUB_LDAP_MEMBER_ATTRIBUTE = env.str("CONDAHUB_LDAP_MEMBER_ATTRIBUTE", default="member")
CONDAHUB_LDAP_LINK_BY_NAME = env.bool("CONDAHUB_LDAP_LINK_BY_NAME", default=False)
CONDAHUB_LDAP_SYNC_SECONDS = env.int("CONDAHUB_LDAP_SYNC_SECONDS", default=900)

AUTH_LDAP_SERVER_URI = CONDAHUB_LDAP_URL
AUTH_LDAP_BIND_DN = env.str("CONDAHUB_LDAP_BIND_DN", default="")
AUTH_LDAP_BIND_PASSWORD = env.str("CONDAHUB_LDAP_BIND_PASSWORD", default="")
AUTH_LDAP_START_TLS = env.bool("CONDAHUB_LDAP_START_TLS", default=False)
AUTH_LDAP_CONNECTION_OPTIONS: dict[Any, Any] = {}
AUTH_LDAP_USER_SEARCH: Any = None

if CONDAHUB_LDAP_URL:
    try:
        import ldap
        from django_auth_ldap.config import LDAPSearch
    except ImportError:
        raise ImproperlyConfigured(
            "CONDAHUB_LDAP_URL is set, but LDAP is not installed here. Run: make ldap (it needs gcc, libldap2-dev and "
            "libsasl2-dev), or use the container image."
        ) from None
    if not CONDAHUB_LDAP_USER_BASE:
        raise ImproperlyConfigured("CONDAHUB_LDAP_URL needs CONDAHUB_LDAP_USER_BASE: the DN below which the directory's people are.")
    AUTH_LDAP_CONNECTION_OPTIONS = {
        ldap.OPT_NETWORK_TIMEOUT: NETWORK_SECONDS,
        ldap.OPT_TIMEOUT: NETWORK_SECONDS,
        # Active Directory refers to other servers, which nobody asked for.
        ldap.OPT_REFERRALS: 0,
    }
    if _ca := env.str("CONDAHUB_LDAP_CA_FILE", default=""):
        # A context of its own, made last: options of TLS count from then on.
        AUTH_LDAP_CONNECTION_OPTIONS |= {ldap.OPT_X_TLS_CACERTFILE: _ca, ldap.OPT_X_TLS_NEWCTX: 0}
    AUTH_LDAP_USER_SEARCH = LDAPSearch(CONDAHUB_LDAP_USER_BASE, ldap.SCOPE_SUBTREE, CONDAHUB_LDAP_USER_FILTER)
    AUTHENTICATION_BACKENDS = ["condahub.accounts.signin.ldap_backend.DirectoryBackend", *_backends]
