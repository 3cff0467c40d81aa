"""What the roles of Quetz and conda-store are called here; docs/roles.md shows the same tables."""

from __future__ import annotations

from typing import Final

from condahub.accounts.models import User
from condahub.accounts.permissions import Role

# Quetz: (where the role is held, its name) -> the role of a grant there.
QUETZ_ROLES: Final[dict[tuple[str, str], Role]] = {
    ("channel", "owner"): Role.OWNER,
    ("channel", "maintainer"): Role.MAINTAINER,
    ("channel", "member"): Role.READER,
    ("package", "owner"): Role.OWNER,
    ("package", "maintainer"): Role.CONTRIBUTOR,
    ("package", "member"): Role.READER,
}

CONDA_STORE_ROLES: Final[dict[str, Role]] = {
    "viewer": Role.READER,
    "editor": Role.CONTRIBUTOR,
    "developer": Role.CONTRIBUTOR,
    "admin": Role.OWNER,
}


def quetz_role_of(where: str, role: str) -> str:
    """How Quetz calls a role of ours on a channel or a package; a contributor to a channel is the nearest less: a member."""
    if where == "package" and role in (Role.CONTRIBUTOR, Role.MAINTAINER):
        return "maintainer"
    return {Role.OWNER: "owner", Role.MAINTAINER: "maintainer"}.get(Role(role), "member")


def quetz_server_role_of(user: User) -> str | None:
    """Quetz's role on the server: owner and maintainer bypass channels' roles, a member may make channels, None may not."""
    if user.is_superuser:
        return "owner"
    if user.is_staff:
        return "maintainer"
    return "member" if hasattr(user, "personal_organization") else None


def conda_store_role_of(role: str) -> str:
    """How conda-store calls a role of ours. Its admin may do what only an owner may here, so a maintainer is a developer."""
    return {Role.OWNER: "admin", Role.READER: "viewer"}.get(Role(role), "developer")
