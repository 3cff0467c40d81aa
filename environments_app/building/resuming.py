"""A build that failed for a package that policy keeps back goes on when its request is approved."""

from __future__ import annotations

from channels_app.models import PackageRequest, RequestState
from condahub.accounts.policy import Actor
from condahub.errors import HubError
from environments_app.building.access import Withdrawn, author_of
from environments_app.models import Build, BuildState
from environments_app.services.builds import build_again

RESUME = "build:"


def on_answer(request: PackageRequest) -> None:
    """Called in the transaction of an answer. `request.resume` is `build:<id>`, of a build that whoever asked may see."""
    number = request.resume.removeprefix(RESUME)
    if request.state != RequestState.APPROVED or not request.resume.startswith(RESUME) or not (number.isascii() and number.isdigit()):
        return
    asker = Actor(user=request.asker, via="build") if request.asker is not None else Actor.anonymous()
    build = Build.objects.visible_to(asker).select_related("environment__organization", "specification").filter(pk=int(number[:18])).first()
    if build is None or build.state != BuildState.FAILED:
        return
    try:
        build_again(actor=author_of(build), build=build)
    except (HubError, Withdrawn):
        # The answer stands; whoever may build there can ask again.
        return
