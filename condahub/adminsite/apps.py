"""Tells Django which site is the admin's."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class HubAdminConfig(AdminConfig):
    default_site = "condahub.adminsite.site.HubAdminSite"
