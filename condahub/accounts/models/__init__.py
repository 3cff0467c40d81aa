"""The models of accounts, one noun a module."""

from condahub.accounts.models.grants import Grant, GrantSource
from condahub.accounts.models.invitations import Invitation
from condahub.accounts.models.organizations import Organization, Team
from condahub.accounts.models.remembered import Remembered
from condahub.accounts.models.sources import LDAP, MANUAL, OIDC_PREFIX, DirectoryAccount, Flag, GroupRule, RoleSource
from condahub.accounts.models.tokens import ApiToken, TokenKind, TokenLimit
from condahub.accounts.models.users import User, UserKind

__all__ = [
    "LDAP",
    "MANUAL",
    "OIDC_PREFIX",
    "ApiToken",
    "DirectoryAccount",
    "Flag",
    "Grant",
    "GrantSource",
    "GroupRule",
    "Invitation",
    "Organization",
    "Remembered",
    "RoleSource",
    "Team",
    "TokenKind",
    "TokenLimit",
    "User",
    "UserKind",
]
