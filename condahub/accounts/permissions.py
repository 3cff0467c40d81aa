"""The permissions there are, the roles and token bundles made of them, and what an object tells about itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from django.db.models import TextChoices


class Permission(StrEnum):
    """Everything that can be allowed, as `resource:action`, in alphabetical order."""

    AUDIT_READ = "audit:read"
    BUILD_CANCEL = "build:cancel"
    BUILD_CREATE = "build:create"
    BUILD_DELETE = "build:delete"
    BUILD_READ = "build:read"
    CHANNEL_CREATE = "channel:create"
    CHANNEL_DELETE = "channel:delete"
    CHANNEL_MEMBERS = "channel:members"
    CHANNEL_READ = "channel:read"
    CHANNEL_REDISTRIBUTE = "channel:redistribute"
    CHANNEL_UPDATE = "channel:update"
    ENVIRONMENT_CREATE = "environment:create"
    ENVIRONMENT_DELETE = "environment:delete"
    ENVIRONMENT_MEMBERS = "environment:members"
    ENVIRONMENT_PUBLISH = "environment:publish"
    ENVIRONMENT_READ = "environment:read"
    ENVIRONMENT_SOLVE = "environment:solve"
    ENVIRONMENT_UPDATE = "environment:update"
    HUB_OPERATE = "hub:operate"
    JOB_CANCEL = "job:cancel"
    JOB_READ = "job:read"
    MEMBER_READ = "member:read"
    MIRROR_CREATE = "mirror:create"
    MIRROR_DELETE = "mirror:delete"
    MIRROR_READ = "mirror:read"
    MIRROR_SYNC = "mirror:sync"
    MIRROR_UPDATE = "mirror:update"
    ORGANIZATION_AUDIT = "organization:audit"
    ORGANIZATION_CREATE = "organization:create"
    ORGANIZATION_DELETE = "organization:delete"
    ORGANIZATION_MEMBERS = "organization:members"
    ORGANIZATION_POLICY = "organization:policy"
    ORGANIZATION_QUOTA = "organization:quota"
    ORGANIZATION_READ = "organization:read"
    ORGANIZATION_UPDATE = "organization:update"
    PACKAGE_DELETE = "package:delete"
    PACKAGE_HOLD = "package:hold"
    PACKAGE_MEMBERS = "package:members"
    PACKAGE_OVERWRITE = "package:overwrite"
    PACKAGE_PATCH = "package:patch"
    PACKAGE_PURGE = "package:purge"
    PACKAGE_UPLOAD = "package:upload"
    PACKAGE_YANK = "package:yank"
    POLICY_UPDATE = "policy:update"
    POLICY_WAIVE = "policy:waive"
    REQUEST_ANSWER = "request:answer"
    TOKEN_CREATE = "token:create"  # noqa: S105 - the name of a permission
    TOKEN_READ = "token:read"  # noqa: S105 - the name of a permission
    TOKEN_REVOKE = "token:revoke"  # noqa: S105 - the name of a permission
    USER_MANAGE = "user:manage"
    USER_PROMOTE = "user:promote"

    @property
    def resource(self) -> str:
        return self.value.partition(":")[0]


class Role(TextChoices):
    """What a grant gives; each role holds all that the one before it holds."""

    READER = "reader", "Reader"
    CONTRIBUTOR = "contributor", "Contributor"
    MAINTAINER = "maintainer", "Maintainer"
    OWNER = "owner", "Owner"


P = Permission

_READER: Final = frozenset(
    {P.BUILD_READ, P.CHANNEL_READ, P.ENVIRONMENT_READ, P.JOB_READ, P.MIRROR_READ, P.ORGANIZATION_READ},
)
_CONTRIBUTOR: Final = _READER | {
    P.BUILD_CANCEL,
    P.BUILD_CREATE,
    P.ENVIRONMENT_CREATE,
    P.ENVIRONMENT_SOLVE,
    P.ENVIRONMENT_UPDATE,
    P.PACKAGE_UPLOAD,
}
_MAINTAINER: Final = _CONTRIBUTOR | {
    P.BUILD_DELETE,
    P.CHANNEL_CREATE,
    P.CHANNEL_UPDATE,
    P.ENVIRONMENT_DELETE,
    P.ENVIRONMENT_PUBLISH,
    P.JOB_CANCEL,
    P.MEMBER_READ,
    P.MIRROR_CREATE,
    P.MIRROR_DELETE,
    P.MIRROR_SYNC,
    P.MIRROR_UPDATE,
    P.PACKAGE_DELETE,
    P.PACKAGE_HOLD,
    P.PACKAGE_PATCH,
    P.PACKAGE_YANK,
    P.POLICY_UPDATE,
    P.POLICY_WAIVE,
    P.REQUEST_ANSWER,
}
_OWNER: Final = _MAINTAINER | {
    P.CHANNEL_DELETE,
    P.CHANNEL_MEMBERS,
    P.CHANNEL_REDISTRIBUTE,
    P.ENVIRONMENT_MEMBERS,
    P.ORGANIZATION_AUDIT,
    P.ORGANIZATION_DELETE,
    P.ORGANIZATION_MEMBERS,
    P.ORGANIZATION_POLICY,
    P.ORGANIZATION_UPDATE,
    P.PACKAGE_MEMBERS,
    P.PACKAGE_OVERWRITE,
    P.PACKAGE_PURGE,
    P.TOKEN_CREATE,
    P.TOKEN_READ,
    P.TOKEN_REVOKE,
}

ROLE_PERMISSIONS: Final[dict[str, frozenset[Permission]]] = {
    Role.READER: _READER,
    Role.CONTRIBUTOR: _CONTRIBUTOR,
    Role.MAINTAINER: _MAINTAINER,
    Role.OWNER: _OWNER,
}

ALL_PERMISSIONS: Final = frozenset(Permission)
# Making administrators, staff and auditors is kept from staff, else staff could make itself anything.
STAFF_PERMISSIONS: Final = ALL_PERMISSIONS - {P.USER_PROMOTE}
AUDITOR_PERMISSIONS: Final = frozenset(p for p in Permission if p.value.endswith(":read")) | {P.ORGANIZATION_AUDIT}


class Level(StrEnum):
    """What a grant is on: the wider one reaches everything below it in its organization."""

    ORGANIZATION = "organization"
    CHANNEL = "channel"
    PACKAGE = "package"
    ENVIRONMENT = "environment"


_LEVEL_RESOURCES: Final[dict[Level, frozenset[str]]] = {
    Level.CHANNEL: frozenset({"channel", "job", "member", "mirror", "package", "policy", "request"}),
    Level.PACKAGE: frozenset({"member", "package"}),
    Level.ENVIRONMENT: frozenset({"build", "environment", "job", "member"}),
}
# Making a new object is asked of the organization, so a grant below it never holds that.
_ORGANIZATION_ONLY: Final = frozenset({P.CHANNEL_CREATE, P.ENVIRONMENT_CREATE, P.MIRROR_CREATE, P.ORGANIZATION_CREATE})


def _at_level(role: str, level: Level) -> frozenset[Permission]:
    held = ROLE_PERMISSIONS[role]
    if level is Level.ORGANIZATION:
        return held
    return frozenset(p for p in held - _ORGANIZATION_ONLY if p.resource in _LEVEL_RESOURCES[level])


# What a role gives when it is granted on an organization, a channel, a package name or an environment.
LEVEL_PERMISSIONS: Final[dict[tuple[str, Level], frozenset[Permission]]] = {
    (role.value, level): _at_level(role.value, level) for role in Role for level in Level
}

# Which permission lets somebody change the grants on an object of that level.
MEMBERS_PERMISSION: Final[dict[Level, Permission]] = {
    Level.ORGANIZATION: P.ORGANIZATION_MEMBERS,
    Level.CHANNEL: P.CHANNEL_MEMBERS,
    Level.PACKAGE: P.PACKAGE_MEMBERS,
    Level.ENVIRONMENT: P.ENVIRONMENT_MEMBERS,
}

# A token with this scope follows its owner's power, whatever permissions later versions add.
FULL_SCOPE: Final = "*"

SCOPE_BUNDLES: Final[dict[str, frozenset[str]]] = {
    "read": frozenset(p.value for p in _READER),
    "upload": frozenset({P.PACKAGE_UPLOAD.value}),
    "ci": frozenset({*(p.value for p in _READER), P.PACKAGE_UPLOAD.value}),
    "contribute": frozenset(p.value for p in _CONTRIBUTOR),
    "maintain": frozenset(p.value for p in _MAINTAINER),
    "own": frozenset(p.value for p in _OWNER),
    "full": frozenset({FULL_SCOPE}),
}


class Visibility(TextChoices):
    """Who may read an object without any grant."""

    PUBLIC = "public", "Public"
    INTERNAL = "internal", "Internal"
    PRIVATE = "private", "Private"


@dataclass(frozen=True, slots=True)
class AccessTarget:
    """Where an object lies, which is all that the policy needs to know of it. Objects have it as `access_target`.

    made_of: what is shown through it, each of which whoever reads it must be allowed to read as well.
    """

    organization_id: int
    channel_id: int | None = None
    package_name: str = ""
    environment_id: int | None = None
    visibility: str = "private"
    personal: bool = False
    made_of: tuple[AccessTarget, ...] = ()

    @property
    def level(self) -> Level:
        if self.environment_id is not None:
            return Level.ENVIRONMENT
        if self.channel_id is None:
            return Level.ORGANIZATION
        return Level.PACKAGE if self.package_name else Level.CHANNEL

    @property
    def open_reads(self) -> frozenset[Permission]:
        """What a public (or, for those signed in, internal) object lets everybody do."""
        return _OPEN_ENVIRONMENT if self.environment_id is not None else _OPEN_CHANNEL


_OPEN_CHANNEL: Final = frozenset({P.CHANNEL_READ})
_OPEN_ENVIRONMENT: Final = frozenset({P.BUILD_READ, P.ENVIRONMENT_READ})

# The installation itself: no organization has the id 0.
HUB: Final = AccessTarget(organization_id=0)
