"""The admin's look (django-unfold): its name and mark, and its navigation in the hub's own words."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy


def _list(title: str, icon: str, model: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{model}_changelist")}


def _page(title: str, icon: str, name: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{name}")}


def _group(title: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "collapsible": True, "separator": True, "items": list(items)}


UNFOLD = {
    "SITE_TITLE": "condahub administration",
    "SITE_HEADER": "condahub",
    "SITE_SUBHEADER": "Administration",
    "SITE_URL": "/ui/",
    "SITE_ICON": lambda request: static("portal/mark.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("portal/mark.svg")}],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "condahub.adminsite.site.environment",
    "STYLES": [lambda request: static("adminsite/admin.css")],
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": [
            {
                "title": "",
                "items": [
                    _page("Dashboard", "dashboard", "index"),
                    _page("Schedules", "schedule", "schedules"),
                    _page("Checks", "network_check", "checks"),
                    _page("Notice and maintenance", "campaign", "maintenance"),
                ],
            },
            _group(
                "Channels",
                _list("Channels", "inventory_2", "channels_channel"),
                _list("Packages", "package_2", "channels_package"),
                _list("Files", "draft", "channels_packagefile"),
                _list("Revisions", "history", "channels_revision"),
                _list("Requests", "chat", "channels_packagerequest"),
                _list("Names", "label", "channels_channelname"),
                _list("Attestations", "signature", "channels_attestation"),
            ),
            _group(
                "Policies",
                _list("Policies", "policy", "channels_policy"),
                _list("Waivers", "verified_user", "channels_waiver"),
                _list("Advisories", "warning", "channels_advisory"),
                _list("Reserved names", "bookmark", "channels_reservedname"),
            ),
            _group(
                "Mirrors",
                _list("Mirrors", "sync", "mirrors_mirror"),
                _list("Runs", "play_circle", "mirrors_syncrun"),
                _list("Upstreams", "cloud_download", "mirrors_upstream"),
                _list("Refused files", "block", "mirrors_mirrorrefusal"),
                _list("Bundles made", "upload_file", "mirrors_bundleexport"),
                _list("Bundles brought", "download", "mirrors_bundleimport"),
                _list("Keys that sign", "draw", "mirrors_signingkey"),
                _list("Keys that are trusted", "verified", "mirrors_trustedkey"),
            ),
            _group(
                "Environments",
                _list("Environments", "account_tree", "environments_environment"),
                _list("Builds", "construction", "environments_build"),
                _list("Artifacts", "deployed_code", "environments_buildartifact"),
                _list("Specifications", "description", "environments_specification"),
                _list("Schedules", "update", "environments_environmentschedule"),
                _list("Machines that build", "precision_manufacturing", "environments_builder"),
                {"title": "What holds for them", "icon": "tune", "link": reverse_lazy("environments:installation_settings")},
            ),
            _group(
                "People",
                _list("Users", "person", "accounts_user"),
                _list("Organizations", "apartment", "accounts_organization"),
                _list("Teams", "groups", "accounts_team"),
                _list("Grants", "key_vertical", "accounts_grant"),
                _list("Tokens", "key", "accounts_apitoken"),
                _list("Invitations", "mail", "accounts_invitation"),
            ),
            _group(
                "Signing in",
                _list("Providers", "login", "socialaccount_socialapp"),
                _list("Group rules", "rule", "accounts_grouprule"),
                _list("Directory accounts", "contacts", "accounts_directoryaccount"),
                _list("Roles from groups", "badge", "accounts_rolesource"),
                _list("Sessions", "devices", "usersessions_usersession"),
                _list("Second factors", "phonelink_lock", "mfa_authenticator"),
            ),
            _group(
                "Work",
                _list("Jobs", "work_history", "jobs_job"),
                _list("Workers", "engineering", "jobs_workerbeat"),
                _list("Periodic tasks", "event_repeat", "django_celery_beat_periodictask"),
            ),
            _group(
                "Records",
                _list("Audit", "fact_check", "audit_auditevent"),
                _list("Events", "notifications", "events_event"),
                _list("Webhooks", "webhook", "events_webhook"),
                _list("Deliveries", "send", "events_delivery"),
            ),
        ],
    },
}
