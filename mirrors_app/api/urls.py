"""The REST API's paths of mirrors and bundles."""

from django.urls import include, path

from condahub.api import converters  # noqa: F401 - registers `text` and `number`
from mirrors_app.api import mirrors

urlpatterns = [
    path("mirrors", mirrors.MirrorsView.as_view()),
    path("mirrors/<text:channel>", mirrors.MirrorView.as_view()),
    path("mirrors/<text:channel>/status", mirrors.StatusView.as_view()),
    path("mirrors/<text:channel>/run", mirrors.RunNowView.as_view()),
    path("mirrors/<text:channel>/plan", mirrors.PlansView.as_view()),
    path("mirrors/<text:channel>/plans/<number:job>", mirrors.PlanView.as_view()),
    path("mirrors/<text:channel>/pause", mirrors.PauseView.as_view()),
    path("mirrors/<text:channel>/resume", mirrors.ResumeView.as_view()),
    path("mirrors/<text:channel>/cancel", mirrors.CancelView.as_view()),
    path("mirrors/<text:channel>/approve", mirrors.ApproveIndexView.as_view()),
    path("mirrors/<text:channel>/runs", mirrors.RunsView.as_view()),
    path("mirrors/<text:channel>/runs/<number:number>", mirrors.RunView.as_view()),
    path("mirrors/<text:channel>/refusals", mirrors.RefusalsView.as_view()),
    path("channels/<text:channel>/mirror", mirrors.ChannelMirrorView.as_view()),
    path("", include("mirrors_app.api.bundle_urls")),
]
