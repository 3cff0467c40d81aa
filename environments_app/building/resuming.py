"""A build that failed for a package that policy keeps back goes on when its request is approved."""

from __future__ import annotations

import re

from channels_app.models import PackageRequest, RequestState
from condahub.accounts.policy import Actor
from condahub.errors import HubError
from environments_app.building.access import author_of
from environments_app.models import Build, BuildState
from environments_app.services.builds import build_again

_RESUME = re.compile(r"build:(?:(?P<id>[0-9]{1,18})|(?P<organization>[^/@]+)/(?P<environment>[^/@]+)@(?P<number>[0-9]{1,9}))")


def on_answer(request: PackageRequest) -> None:
    """Called in the transaction of an answer. `request.resume`: `build:<id>` or `build:<organization>/<environment>@<number>`.

    A build that whoever asked may not see is as good as none.
    """
    named = _RESUME.fullmatch(request.resume)
    if request.state != RequestState.APPROVED or named is None or request.asker is None:
        return
    seen = Build.objects.visible_to(Actor(user=request.asker, via="build")).select_related("environment__organization", "specification")
    if named["id"]:
        build = seen.filter(pk=int(named["id"])).first()
    else:
        place = {"environment__organization__name": named["organization"], "environment__name": named["environment"]}
        build = seen.filter(number=int(named["number"]), **place).first()
    if build is None or build.state != BuildState.FAILED:
        return
    try:
        build_again(actor=author_of(build), build=build)
    except HubError:
        # The answer stands; whoever may build there can ask again.
        return
