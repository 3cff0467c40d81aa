"""The addresses of the portal, below /ui/, that concern channels and are no channel's own."""

from django.urls import URLPattern, path

from channels_app.portal import policies, requests
from condahub.api import converters  # noqa: F401 - registers `text` and `number`

app_name = "packages"

urlpatterns: list[URLPattern] = [
    path("requests", requests.request_list, name="requests"),
    path("requests/<number:number>", requests.request_page, name="request"),
    path("requests/<number:number>/answer", requests.answer, name="request_answer"),
    path("policy", policies.installation_policy, name="installation_policy"),
    path("<text:organization>/policy", policies.organization_policy, name="organization_policy"),
]
