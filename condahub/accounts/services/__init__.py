"""The verbs of accounts: each checks the policy, changes, and audits, in one transaction."""

from condahub.accounts.services.grants import drop_channel, drop_environment, grant, revoke_grant
from condahub.accounts.services.invitations import accept, invitation_of, invite, revoke_invitation
from condahub.accounts.services.organizations import (
    create_organization,
    create_personal_organization,
    delete_organization,
    restore_organization,
    set_quota,
    update_organization,
)
from condahub.accounts.services.teams import add_member, create_team, delete_team, remove_member, update_team
from condahub.accounts.services.tokens import NewToken, create_token, revoke_token, rotate_token
from condahub.accounts.services.users import (
    create_robot,
    create_user,
    deactivate_user,
    promote_user,
    reactivate_user,
    remove_second_factors,
    set_password,
    update_user,
)

__all__ = [
    "NewToken",
    "accept",
    "add_member",
    "create_organization",
    "create_personal_organization",
    "create_robot",
    "create_team",
    "create_token",
    "create_user",
    "deactivate_user",
    "delete_organization",
    "delete_team",
    "drop_channel",
    "drop_environment",
    "grant",
    "invitation_of",
    "invite",
    "promote_user",
    "reactivate_user",
    "remove_member",
    "remove_second_factors",
    "restore_organization",
    "revoke_grant",
    "revoke_invitation",
    "revoke_token",
    "rotate_token",
    "set_password",
    "set_quota",
    "update_organization",
    "update_team",
    "update_user",
]
