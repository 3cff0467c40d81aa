"""What this app gives the rooms below it: job kinds and schedules, quota use, portal pages, the demo channel, examinations, garbage."""

from __future__ import annotations

from collections.abc import Collection

from condahub.accounts import places, quota
from condahub.accounts.policy import AccessTarget, Actor, Permission
from condahub.ops import doctor, first_start, gc, metrics, verify
from condahub.ops.first_start import FirstStart


def register() -> None:
    """Called once, when the app is ready."""
    from channels_app import checkups, measures, planner, tasks  # noqa: F401 - importing tasks registers the job kinds
    from channels_app.index.publish import register_follower
    from channels_app.portal import panels
    from channels_app.services import collect, quotas, thinning
    from channels_app.virtual import follow

    quota.register_usage("channels", quotas.used_by_organization)
    places.register(places.CHANNEL, find=_find_channel, names_of=_names_of_channels)
    panels.register()
    register_follower(follow.follow_all_of, unseen=follow.note_unseen)
    first_start.register("statistics for the database", lambda _: planner.tell_planner())
    first_start.register("demo channel", _make_demo, only_first=True, demo=True)
    doctor.register_check("index", checkups.check_dirty_names)
    metrics.register_measure("channels", measures.measure_channels)
    verify.register_verification("channel index", checkups.verify_index)
    verify.register_verification("package rows", checkups.verify_rows)
    verify.register_verification("package bytes", checkups.verify_bytes, slow=True)
    # The past first: what it lets go of is garbage for those after it.
    gc.register_collector("past revisions", thinning.collect_past)
    gc.register_collector("index files", collect.collect_index_files)
    gc.register_collector("package bytes", collect.collect_blobs)
    gc.register_collector("unfinished uploads", collect.collect_temporary)


def _make_demo(context: FirstStart) -> None:
    from channels_app.services.demo import make_demo
    from condahub.accounts.models import User

    channel = make_demo(User.objects.get(username=context.administrator))
    context.hints.append(("demo channel", f"{context.url}/channels/{channel.name}"))


def _find_channel(actor: Actor, name: str) -> AccessTarget:
    from channels_app import selectors

    return selectors.channel_for(actor, name, Permission.CHANNEL_READ).access_target


def _names_of_channels(ids: Collection[int]) -> dict[int, str]:
    from channels_app.models import Channel

    return dict(Channel.objects.filter(pk__in=ids).values_list("pk", "name"))
