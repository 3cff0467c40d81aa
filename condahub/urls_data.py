"""The byte-serving doors alone: GET and HEAD of channels, and whether this process lives."""

from django.urls import URLPattern, URLResolver, re_path

from channels_app.faces import conda
from condahub.ops import health

urlpatterns: list[URLPattern | URLResolver] = [
    re_path(r"^(?:channels|get)/(?P<rest>.*)$", conda.serve),
    re_path(r"^livez$", health.live),
    re_path(r"^readyz$", health.ready),
]

# Asked before these patterns; they answer the same, faster (condahub.handlers).
hot_doors = (conda.answer,)

# Where no door answers, or one fails.
handler400 = "condahub.api.unanswered.bad_request"
handler403 = "condahub.api.unanswered.permission_denied"
handler404 = "condahub.api.unanswered.not_found"
handler500 = "condahub.api.unanswered.server_error"
