"""Reads the company's directory (LDAP, Active Directory): a person and his groups. A failure is told, and never taken for "gone"."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from condahub.accounts.services.outside import Entry
from condahub.errors import HubError, Unavailable

# Active Directory follows groups in groups by this rule (LDAP_MATCHING_RULE_IN_CHAIN).
IN_CHAIN = "1.2.840.113556.1.4.1941"


class DirectoryUnavailable(Unavailable):
    """The directory does not answer, or does not let the hub look."""

    code = "directory_unavailable"
    hint = "IT staff: see CONDAHUB_LDAP_URL and the account that the hub binds with."


def is_configured() -> bool:
    return bool(settings.CONDAHUB_LDAP_URL)


@contextmanager
def connected() -> Iterator[Any]:
    """A connection bound as the hub's own account. Raises DirectoryUnavailable."""
    import ldap

    connection = ldap.initialize(settings.CONDAHUB_LDAP_URL, bytes_mode=False)
    try:
        for option, value in settings.AUTH_LDAP_CONNECTION_OPTIONS.items():
            connection.set_option(option, value)
        if settings.AUTH_LDAP_START_TLS:
            connection.start_tls_s()
        connection.simple_bind_s(settings.AUTH_LDAP_BIND_DN, settings.AUTH_LDAP_BIND_PASSWORD)
        yield connection
    except ldap.LDAPError as error:
        raise DirectoryUnavailable(f"The directory can't be asked: {_said(error)}.") from None
    finally:
        connection.unbind_ext()


def _said(error: Exception) -> str:
    """The server's own word for it ("Can't contact LDAP server"); it holds no secret."""
    told = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return str(told.get("desc") or type(error).__name__)


def test_connection() -> None:
    """Bind as the hub does and look at the base of people. Raises DirectoryUnavailable, or what is wrong with the settings."""
    import ldap

    with connected() as connection:
        for base in filter(None, (settings.CONDAHUB_LDAP_USER_BASE, settings.CONDAHUB_LDAP_GROUP_BASE)):
            try:
                connection.search_s(base, ldap.SCOPE_BASE, "(objectClass=*)", ["1.1"])
            except ldap.NO_SUCH_OBJECT:
                hint = "See CONDAHUB_LDAP_USER_BASE and CONDAHUB_LDAP_GROUP_BASE."
                raise HubError(f"The directory has no '{base}'.", code="directory_base", hint=hint) from None


def find(username: str) -> Entry | None:
    """The person of that name, None when the directory has nobody by it (any more). Raises DirectoryUnavailable."""
    from ldap.filter import escape_filter_chars

    with connected() as connection:
        return _one(connection, settings.CONDAHUB_LDAP_USER_BASE, _people(escape_filter_chars(username)))


def read(dn: str) -> Entry | None:
    """The person at that DN, with his groups; None for one whom the filter of people does not let in."""
    with connected() as connection:
        return _one(connection, dn, _people("*"), whole_tree=False)


def _people(name: str) -> str:
    return str(settings.CONDAHUB_LDAP_USER_FILTER).replace("%(user)s", name)


def _one(connection: Any, base: str, wanted: str, *, whole_tree: bool = True) -> Entry | None:
    import ldap

    scope = ldap.SCOPE_SUBTREE if whole_tree else ldap.SCOPE_BASE
    try:
        rows = _entries(connection.search_s(base, scope, wanted, _attributes()))
    except ldap.NO_SUCH_OBJECT:
        return None
    if len(rows) > 1:
        raise HubError("The directory has several people of one name.", code="directory_ambiguous", hint="Narrow CONDAHUB_LDAP_USER_BASE.")
    return None if not rows else _entry(connection, *rows[0])


def by_identity(identities: list[str]) -> Iterator[tuple[str, Entry | None]]:
    """Each person by his unique id, wherever his entry has moved."""
    with connected() as connection:
        for identity in identities:
            fits = f"(&{_people('*')}({settings.CONDAHUB_LDAP_ID_ATTRIBUTE}={_escaped(identity)}))"
            yield identity, _one(connection, settings.CONDAHUB_LDAP_USER_BASE, fits)


def _escaped(identity: str) -> str:
    """An id for a filter; objectGUID is bytes, which are kept in hex."""
    from ldap.filter import escape_filter_chars

    if settings.CONDAHUB_LDAP_ID_ATTRIBUTE.lower() == "objectguid":
        return "".join(f"\\{identity[at : at + 2]}" for at in range(0, len(identity), 2))
    return str(escape_filter_chars(identity))


def _attributes() -> list[str]:
    names = (
        settings.CONDAHUB_LDAP_ID_ATTRIBUTE,
        settings.CONDAHUB_LDAP_NAME_ATTRIBUTE,
        settings.CONDAHUB_LDAP_EMAIL_ATTRIBUTE,
        settings.CONDAHUB_LDAP_SHOWN_NAME_ATTRIBUTE,
    )
    return list(names)


def _entries(rows: list[Any]) -> list[tuple[str, dict[str, list[bytes]]]]:
    """Without the referrals, which have no DN."""
    return [(row[0], {name.lower(): values for name, values in row[1].items()}) for row in rows if row[0] is not None]


def _entry(connection: Any, dn: str, attributes: dict[str, list[bytes]]) -> Entry:
    username = _text(attributes, settings.CONDAHUB_LDAP_NAME_ATTRIBUTE).lower()
    return Entry(
        unique_id=_identity(attributes),
        dn=dn,
        username=username,
        email=_text(attributes, settings.CONDAHUB_LDAP_EMAIL_ATTRIBUTE),
        name=_text(attributes, settings.CONDAHUB_LDAP_SHOWN_NAME_ATTRIBUTE),
        groups=tuple(_groups(connection, dn, username)),
    )


def _groups(connection: Any, dn: str, username: str) -> Iterator[str]:
    """Each group by its DN and by its plain name."""
    import ldap
    from ldap.filter import escape_filter_chars

    base = settings.CONDAHUB_LDAP_GROUP_BASE
    if not base:
        return
    attribute = settings.CONDAHUB_LDAP_MEMBER_ATTRIBUTE
    member = escape_filter_chars(username if attribute.lower() == "memberuid" else dn)
    chain = f":{IN_CHAIN}:" if settings.CONDAHUB_LDAP_ACTIVE_DIRECTORY else ""
    wanted = f"(&{settings.CONDAHUB_LDAP_GROUP_FILTER}({attribute}{chain}={member}))"
    for group_dn, attributes in _entries(connection.search_s(base, ldap.SCOPE_SUBTREE, wanted, ["cn"])):
        yield group_dn
        if name := _text(attributes, "cn"):
            yield name


def _identity(attributes: dict[str, list[bytes]]) -> str:
    name = settings.CONDAHUB_LDAP_ID_ATTRIBUTE.lower()
    values = attributes.get(name) or []
    if not values:
        raise HubError(
            f"The directory tells no '{name}' of its people.",
            code="directory_identity",
            hint="Let the hub's account read it, or name another attribute: CONDAHUB_LDAP_ID_ATTRIBUTE.",
        )
    return values[0].hex() if name == "objectguid" else values[0].decode(errors="replace")


def _text(attributes: dict[str, list[bytes]], name: str) -> str:
    values = attributes.get(name.lower()) or []
    return values[0].decode(errors="replace").strip().replace("\x00", "") if values else ""
