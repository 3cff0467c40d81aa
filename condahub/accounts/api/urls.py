"""The REST API's paths of people, organizations, teams, grants, robots and tokens."""

from django.urls import path

from condahub.accounts.api import access, grants, organizations, people, teams, tokens
from condahub.api import converters  # noqa: F401 - registers `text` and `number`

_ORGANIZATION = "organizations/<text:organization>"

urlpatterns = [
    path("me", people.MeView.as_view()),
    path("permissions", people.PermissionsView.as_view()),
    path("users", people.UsersView.as_view()),
    path("users/<text:username>", people.UserView.as_view()),
    path("organizations", organizations.OrganizationsView.as_view()),
    path(_ORGANIZATION, organizations.OrganizationView.as_view()),
    path(f"{_ORGANIZATION}/restore", organizations.OrganizationRestoreView.as_view()),
    path(f"{_ORGANIZATION}/quota", organizations.QuotaView.as_view()),
    path(f"{_ORGANIZATION}/members", organizations.MembersView.as_view()),
    path(f"{_ORGANIZATION}/members/<text:username>", organizations.MemberView.as_view()),
    path(f"{_ORGANIZATION}/teams", teams.TeamsView.as_view()),
    path(f"{_ORGANIZATION}/teams/<text:team>", teams.TeamView.as_view()),
    path(f"{_ORGANIZATION}/teams/<text:team>/members/<text:username>", teams.TeamMemberView.as_view()),
    path(f"{_ORGANIZATION}/invitations", access.InvitationsView.as_view()),
    path(f"{_ORGANIZATION}/invitations/<number:number>", access.InvitationView.as_view()),
    path(f"{_ORGANIZATION}/access", access.AccessView.as_view()),
    path(f"{_ORGANIZATION}/access/<text:username>", access.AccessOfPersonView.as_view()),
    path(f"{_ORGANIZATION}/grants", grants.GrantsView.as_view()),
    path(f"{_ORGANIZATION}/grants/<number:number>", grants.GrantView.as_view()),
    path(f"{_ORGANIZATION}/robots", tokens.RobotsView.as_view()),
    path(f"{_ORGANIZATION}/robots/<text:robot>", tokens.RobotView.as_view()),
    path(f"{_ORGANIZATION}/robots/<text:robot>/tokens", tokens.RobotTokensView.as_view()),
    path("tokens", tokens.TokensView.as_view()),
    path("tokens/<number:number>", tokens.TokenView.as_view()),
    path("tokens/<number:number>/rotate", tokens.TokenRotateView.as_view()),
]
