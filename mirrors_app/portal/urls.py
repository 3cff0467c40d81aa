"""The addresses of mirrors in the portal, below /ui/."""

from django.urls import URLPattern, path

from condahub.api import converters  # noqa: F401 - registers `text` and `number`
from mirrors_app.portal import bundles, views

app_name = "mirrors"

urlpatterns: list[URLPattern] = [
    path("mirrors", views.mirror_list, name="list"),
    path("mirrors/new", views.mirror_new, name="new"),
    path("channels/<text:channel>/mirror", views.mirror, name="mirror"),
    path("channels/<text:channel>/mirror/act", views.act, name="act"),
    path("channels/<text:channel>/mirror/settings", views.settings, name="settings"),
    path("channels/<text:channel>/mirror/end", views.end, name="end"),
    path("channels/<text:channel>/bundles", bundles.bundles, name="bundles"),
    path("channels/<text:channel>/bundles/export", bundles.export, name="bundle_export"),
    path("channels/<text:channel>/bundles/import", bundles.bring, name="bundle_bring"),
    path("channels/<text:channel>/bundles/imports/<number:number>", bundles.bundle_import, name="bundle_import"),
    path("channels/<text:channel>/mirror/runs/<number:number>", views.run, name="run"),
    path("channels/<text:channel>/mirror/plans/<number:number>", views.plan, name="plan"),
]
