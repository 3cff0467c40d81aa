"""The REST API's paths of mirrors and bundles."""

from django.urls import include, path

urlpatterns = [
    path("", include("mirrors_app.api.bundle_urls")),
]
