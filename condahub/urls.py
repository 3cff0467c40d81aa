"""Every door of the house on one page."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView

from channels_app.faces import conda
from channels_app.urls import urlpatterns_web
from condahub.api.errors import unknown_path
from condahub.ops import health, metrics
from environments_app.urls import urlpatterns_web as urlpatterns_environments

# Our own REST API: each app brings its paths below the one prefix.
REST_URLS: list[URLPattern | URLResolver] = [
    path("", include("condahub.api.urls")),
    path("", include("condahub.accounts.api.urls")),
    path("", include("condahub.audit.api")),
    path("", include("condahub.events.api.urls")),
    path("", include("condahub.jobs.api")),
    path("", include("channels_app.api.urls")),
    path("", include("environments_app.api.urls")),
    path("", include("mirrors_app.api.urls")),
    re_path("", unknown_path),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(url="/ui/")),
    path("ui", RedirectView.as_view(url="/ui/")),
    path("ui/", include("mirrors_app.portal.urls")),
    path("ui/", include("environments_app.portal.urls")),
    path("ui/channels", include("channels_app.portal.urls")),
    path("ui/", include("channels_app.portal.urls_wide")),
    path("ui/", include("condahub.portal.urls")),
    path("accounts/", include("condahub.portal.urls_accounts")),
    # One door for signing in, the admin's too.
    path("admin/login/", RedirectView.as_view(url="/accounts/login/", query_string=True)),
    path("admin/password_change/", RedirectView.as_view(url="/ui/account")),
    path("admin/", admin.site.urls),
    # Quetz's, Artifactory's and prefix.dev's clients.
    *urlpatterns_web,
    # conda-store's clients.
    *urlpatterns_environments,
    # GET and HEAD of these go past the web's middleware (condahub.handlers); here they serve runserver and tests.
    re_path(r"^(?:channels|get)/(?P<rest>.*)$", conda.serve),
    path("api/hub/v1/", include(REST_URLS)),
    path("livez", health.live),
    path("readyz", health.ready),
    path("metrics", metrics.read),
    # Quetz's names for the two.
    path("health/live", health.live),
    path("health/ready", health.ready),
]

# Where no door answers, or one fails.
handler400 = "condahub.api.unanswered.bad_request"
handler403 = "condahub.api.unanswered.permission_denied"
handler404 = "condahub.api.unanswered.not_found"
handler500 = "condahub.api.unanswered.server_error"
