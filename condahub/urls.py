"""Every door of the house on one page."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, path, re_path
from django.views.generic import RedirectView

from channels_app.faces import conda
from condahub.ops import health

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(url="/ui/")),
    path("admin/", admin.site.urls),
    # GET and HEAD of these go past the web's middleware (condahub.handlers); here they serve runserver and tests.
    re_path(r"^(?:channels|get)/(?P<rest>.*)$", conda.serve),
    path("livez", health.live),
    path("readyz", health.ready),
]
