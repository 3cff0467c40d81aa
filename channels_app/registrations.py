"""What this app gives the rooms below it: job kinds and schedules, quota use, the demo channel."""

from __future__ import annotations

from condahub.accounts import quota
from condahub.ops import first_start
from condahub.ops.first_start import FirstStart


def register() -> None:
    """Called once, when the app is ready."""
    from channels_app import tasks  # noqa: F401 - registers the job kinds
    from channels_app.services import quotas

    quota.register_usage("channels", quotas.used_by_organization)
    first_start.register("demo channel", _make_demo, only_first=True, demo=True)


def _make_demo(context: FirstStart) -> None:
    from channels_app.services.demo import make_demo
    from condahub.accounts.models import User

    channel = make_demo(User.objects.get(username=context.administrator))
    context.hints.append(("demo channel", f"{context.url}/channels/{channel.name}"))
