"""The portal's addresses below /ui/; organizations come last, as their name is the first word."""

from django.urls import URLPattern, path

from condahub.api import converters  # noqa: F401 - registers `number`
from condahub.portal.views import access, account, home, inbox, invitations, organizations, webhooks

app_name = "portal"

urlpatterns: list[URLPattern] = [
    path("", home.dashboard, name="dashboard"),
    path("search", home.search, name="search"),
    path("jobs", home.job_list, name="jobs"),
    path("jobs/running", home.running, name="running"),
    path("jobs/<number:number>", home.job, name="job"),
    path("jobs/<number:number>/cancel", home.job_cancel, name="job_cancel"),
    path("account", account.profile, name="account"),
    path("account/password", account.password, name="password"),
    path("account/theme", account.theme, name="theme"),
    path("account/tokens", account.tokens, name="tokens"),
    path("account/tokens/new", account.new_token, name="token_new"),
    path("account/tokens/<number:number>/rotate", account.rotate_token, name="token_rotate"),
    path("account/tokens/<number:number>/revoke", account.revoke_token, name="token_revoke"),
    path("account/subscriptions", inbox.subscription_list, name="subscriptions"),
    path("account/subscriptions/<number:number>/stop", inbox.unsubscribe, name="unsubscribe"),
    path("account/invitation", invitations.invitation, name="invitation"),
    path("account/invitation/<text:key>", invitations.opened, name="invitation_opened"),
    path("inbox", inbox.inbox, name="inbox"),
    path("inbox/badge", inbox.badge, name="inbox_badge"),
    path("inbox/read", inbox.read, name="inbox_read"),
    path("organizations", organizations.organization_list, name="organizations"),
    path("organizations/new", organizations.organization_new, name="organization_new"),
    path("<text:organization>", organizations.overview, name="organization"),
    path("<text:organization>/members", organizations.members, name="organization_members"),
    path("<text:organization>/members/<number:number>/revoke", organizations.grant_revoke, name="grant_revoke"),
    path("<text:organization>/members/invitations", invitations.invite, name="invite"),
    path("<text:organization>/members/invitations/<number:number>/revoke", invitations.revoke, name="invitation_revoke"),
    path("<text:organization>/teams", organizations.teams, name="organization_teams"),
    path("<text:organization>/teams/<text:slug>", organizations.team_change, name="team_change"),
    path("<text:organization>/robots", organizations.robots, name="organization_robots"),
    path("<text:organization>/robots/<text:robot>/tokens", organizations.robot_token, name="robot_token"),
    path("<text:organization>/robots/<text:robot>/deactivate", organizations.robot_deactivate, name="robot_deactivate"),
    path("<text:organization>/access", access.access_of_person, name="organization_access"),
    path("<text:organization>/webhooks", webhooks.webhook_list, name="webhooks"),
    path("<text:organization>/webhooks/<number:number>", webhooks.webhook, name="webhook"),
    path("<text:organization>/activity", organizations.activity, name="organization_activity"),
    path("<text:organization>/settings", organizations.settings, name="organization_settings"),
]
