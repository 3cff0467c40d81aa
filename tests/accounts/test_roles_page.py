"""docs/roles.md says what the code does: neither can change alone."""

from __future__ import annotations

import re
from pathlib import Path

from condahub.accounts.foreign_roles import CONDA_STORE_ROLES, QUETZ_ROLES, conda_store_role_of, quetz_role_of
from condahub.accounts.permissions import (
    ALL_PERMISSIONS,
    AUDITOR_PERMISSIONS,
    LEVEL_PERMISSIONS,
    ROLE_PERMISSIONS,
    SCOPE_BUNDLES,
    STAFF_PERMISSIONS,
    Level,
    Permission,
    Role,
)

PAGE = (Path(__file__).parents[2] / "docs" / "roles.md").read_text()
LETTERS = {"O": Level.ORGANIZATION, "C": Level.CHANNEL, "P": Level.PACKAGE, "E": Level.ENVIRONMENT}


def table(heading: str) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of the first table below a heading."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    return lines[0], lines[2:]


def test_the_table_names_every_permission_once() -> None:
    _, rows = table("Permissions and roles")
    assert [row[0].strip("`") for row in rows] == [permission.value for permission in Permission]
    assert all(row[1] for row in rows)


def test_every_cell_of_the_table_is_what_the_policy_gives() -> None:
    header, rows = table("Permissions and roles")
    assert header[2:] == [*Role.values, "auditor", "staff", "administrator"]
    for row in rows:
        permission = Permission(row[0].strip("`"))
        for role, cell in zip(Role.values, row[2:6], strict=True):
            given = {level for level in Level if permission in LEVEL_PERMISSIONS[role, level]}
            assert {LETTERS[letter] for letter in cell} == given, (permission, role)
        said = [cell == "yes" for cell in row[6:]]
        assert said == [permission in held for held in (AUDITOR_PERMISSIONS, STAFF_PERMISSIONS, ALL_PERMISSIONS)], permission


def test_the_bundles_are_those_of_the_page() -> None:
    _, rows = table("Tokens")
    assert [row[0] for row in rows] == list(SCOPE_BUNDLES)
    for bundle, meaning in rows:
        role = re.search(r"all that an? (\w+) holds", meaning)
        if role:
            assert SCOPE_BUNDLES[bundle] == {permission.value for permission in ROLE_PERMISSIONS[role[1]]}
    assert SCOPE_BUNDLES["ci"] == SCOPE_BUNDLES["read"] | SCOPE_BUNDLES["upload"]


def test_quetz_roles_are_those_of_the_page_and_lose_nothing_that_quetz_gives() -> None:
    _, rows = table("Quetz's roles")
    assert {(where, theirs): ours for where, theirs, ours in rows} == {key: role.value for key, role in QUETZ_ROLES.items()}
    P = Permission
    maintainer = LEVEL_PERMISSIONS[QUETZ_ROLES["channel", "maintainer"], Level.CHANNEL]
    assert {P.PACKAGE_UPLOAD, P.PACKAGE_DELETE, P.PACKAGE_PATCH, P.MEMBER_READ, P.MIRROR_SYNC} <= maintainer
    assert not {P.CHANNEL_MEMBERS, P.PACKAGE_OVERWRITE} & maintainer
    assert {P.CHANNEL_MEMBERS, P.PACKAGE_OVERWRITE} <= LEVEL_PERMISSIONS[QUETZ_ROLES["channel", "owner"], Level.CHANNEL]
    assert LEVEL_PERMISSIONS[QUETZ_ROLES["channel", "member"], Level.CHANNEL] == {P.CHANNEL_READ, P.JOB_READ, P.MIRROR_READ}
    assert P.PACKAGE_UPLOAD in LEVEL_PERMISSIONS[QUETZ_ROLES["package", "maintainer"], Level.PACKAGE]


def test_conda_store_roles_are_those_of_the_page() -> None:
    _, rows = table("conda-store's roles")
    assert dict(rows) == {key: role.value for key, role in CONDA_STORE_ROLES.items()}


def test_a_role_told_to_a_foreign_client_never_says_more_than_is_held() -> None:
    for where in ("channel", "package"):
        for role in Role:
            back = QUETZ_ROLES[where, quetz_role_of(where, role)]
            assert ROLE_PERMISSIONS[back] <= ROLE_PERMISSIONS[role]
    for role in Role:
        assert ROLE_PERMISSIONS[CONDA_STORE_ROLES[conda_store_role_of(role)]] <= ROLE_PERMISSIONS[role]
