"""The paths that tell of the hub itself."""

from django.urls import path

from condahub.api.views import HubInfoView, SchemaView

urlpatterns = [
    path("hub", HubInfoView.as_view()),
    path("schema", SchemaView.as_view()),
]
