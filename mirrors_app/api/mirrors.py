"""REST views of mirrors: made, changed, run, tried, watched and ended."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from channels_app.listings import organization_to_create_in
from channels_app.selectors import channel_for
from condahub.accounts.permissions import Permission
from condahub.api.probing import ProbeThrottle
from condahub.api.views import HubView
from mirrors_app import selectors
from mirrors_app.api import shapes
from mirrors_app.models import Mirror, MirrorMode, MirrorRefusal, SyncRun
from mirrors_app.services import mirrors as services
from mirrors_app.services import runs, syncing


class MirrorFilter(django_filters.FilterSet):  # type: ignore[misc]
    organization = django_filters.CharFilter(field_name="channel__organization__name", label="The name of an organization.")
    mode = django_filters.ChoiceFilter(choices=MirrorMode.choices, label="What it brings.")
    state = django_filters.ChoiceFilter(field_name="standing", choices=selectors.STANDING_CHOICES, label="How it stands.")
    q = django_filters.CharFilter(method="matching", label="Part of the name, the description or an upstream's address.")

    def matching(self, rows: QuerySet[Mirror], name: str, value: str) -> QuerySet[Mirror]:
        upstream = Q(pk__in=Mirror.objects.filter(upstreams__url__icontains=value).values("pk"))
        return rows.filter(Q(channel__name__icontains=value) | Q(channel__description__icontains=value) | upstream)


class MirrorsView(HubView):
    queryset: QuerySet[Mirror] = Mirror.objects.none()
    throttle_classes = [ProbeThrottle]
    filterset_class = MirrorFilter
    ordering_fields = ["name", "created_at", "last_synced_at", "next_run_at"]
    ordering = ["name"]

    @extend_schema(operation_id="mirrors_list", responses=shapes.MirrorAnswer(many=True))
    def get(self, request: Request) -> Response:
        """The mirrors that the asker may read: by a role, as a public channel does not show where it comes from."""
        return self.listed(selectors.mirrors_listed(self.actor), shapes.MirrorAnswer)

    @extend_schema(operation_id="mirrors_create", request=shapes.NewMirror, responses={201: shapes.MirrorAnswer})
    def post(self, request: Request) -> Response:
        """Make a channel that is filled from upstreams. Nothing is fetched until it is run, by the clock or by `run`."""
        given = self.given(shapes.NewMirror)
        organization = organization_to_create_in(self.actor, given.get("organization", ""))
        settings, specs = shapes.settings_of(given)
        about = {key: given[key] for key in ("visibility", "description") if key in given}
        mirror = services.create_mirror(
            actor=self.actor, organization=organization, name=given["name"], upstreams=specs or (), settings=settings, **about
        )
        return self.shown(selectors.with_standing(mirror), shapes.MirrorAnswer, 201)


class ChannelMirrorView(HubView):
    @extend_schema(operation_id="channels_mirror", request=shapes.MirrorSettings, responses={201: shapes.MirrorAnswer})
    def post(self, request: Request, channel: str) -> Response:
        """Make a mirror of a hosted channel. What was uploaded to it stays; uploads end."""
        found = channel_for(self.actor, channel, Permission.CHANNEL_UPDATE)
        settings, specs = shapes.settings_of(self.given(shapes.MirrorSettings))
        mirror = services.mirror_channel(actor=self.actor, channel=found, upstreams=specs or (), settings=settings)
        return self.shown(selectors.with_standing(mirror), shapes.MirrorAnswer, 201)


class _OfMirror(HubView):
    def mirror(self, channel: str, permission: Permission = Permission.MIRROR_READ) -> Mirror:
        return selectors.mirror_for(self.actor, channel, permission)


class MirrorView(_OfMirror):
    @extend_schema(operation_id="mirrors_retrieve", responses=shapes.MirrorAnswer)
    def get(self, request: Request, channel: str) -> Response:
        """One mirror with its settings. Secrets are never shown: `has_secret` says that there is one."""
        return self.shown(selectors.with_standing(self.mirror(channel)), shapes.MirrorAnswer)

    @extend_schema(operation_id="mirrors_update", request=shapes.MirrorSettings, responses=shapes.MirrorAnswer)
    def patch(self, request: Request, channel: str) -> Response:
        """Change settings; `upstreams` puts others in place of all. The next run goes by them."""
        found = self.mirror(channel, Permission.MIRROR_UPDATE)
        changes, specs = shapes.settings_of(self.given(shapes.MirrorSettings))
        changed = services.update_mirror(actor=self.actor, mirror=found, changes=changes, upstreams=specs)
        return self.shown(selectors.with_standing(changed), shapes.MirrorAnswer)

    @extend_schema(operation_id="mirrors_delete", parameters=[shapes.DeleteQuery], responses={204: None})
    def delete(self, request: Request, channel: str) -> Response:
        """End a mirror; a run that goes on is cancelled."""
        found = self.mirror(channel, Permission.MIRROR_DELETE)
        services.delete_mirror(actor=self.actor, mirror=found, **self.asked(shapes.DeleteQuery))
        return Response(status=204)


class RunNowView(_OfMirror):
    @extend_schema(operation_id="mirrors_run", request=None, responses={202: shapes.WorkAnswer})
    def post(self, request: Request, channel: str) -> Response:
        """Have it run as soon as a worker is free; the run that waits already, if one does."""
        job = runs.run_now(actor=self.actor, mirror=self.mirror(channel, Permission.MIRROR_SYNC))
        return self.shown(job, shapes.WorkAnswer, 202)


class PlansView(_OfMirror):
    @extend_schema(operation_id="mirrors_plan", request=shapes.PlanBody, responses={202: shapes.PlanAnswer})
    def post(self, request: Request, channel: str) -> Response:
        """Find out what a run would do, and do nothing; with other filters to try, if given."""
        found = self.mirror(channel, Permission.MIRROR_SYNC)
        filters = self.given(shapes.PlanBody).get("filters")
        return self.shown(runs.ask_plan(actor=self.actor, mirror=found, filters=filters), shapes.PlanAnswer, 202)


class PlanView(_OfMirror):
    @extend_schema(operation_id="mirrors_plans_retrieve", responses=shapes.PlanAnswer)
    def get(self, request: Request, channel: str, job: int) -> Response:
        """How far a dry run is, and its result."""
        return self.shown(selectors.plan_job(self.mirror(channel), job), shapes.PlanAnswer)


class PauseView(_OfMirror):
    @extend_schema(operation_id="mirrors_pause", request=None, responses=shapes.MirrorAnswer)
    def post(self, request: Request, channel: str) -> Response:
        """No runs by the clock until it is resumed; one that goes on is not stopped."""
        paused = services.pause_mirror(actor=self.actor, mirror=self.mirror(channel, Permission.MIRROR_UPDATE))
        return self.shown(selectors.with_standing(paused), shapes.MirrorAnswer)


class ResumeView(_OfMirror):
    @extend_schema(operation_id="mirrors_resume", request=None, responses=shapes.MirrorAnswer)
    def post(self, request: Request, channel: str) -> Response:
        """Runs by the clock again."""
        resumed = services.resume_mirror(actor=self.actor, mirror=self.mirror(channel, Permission.MIRROR_UPDATE))
        return self.shown(selectors.with_standing(resumed), shapes.MirrorAnswer)


class CancelView(_OfMirror):
    @extend_schema(operation_id="mirrors_cancel", request=None, responses=shapes.CancelledAnswer)
    def post(self, request: Request, channel: str) -> Response:
        """Stop the run that goes on and the one that waits; what was fetched is kept for the next."""
        jobs = runs.cancel_run(actor=self.actor, mirror=self.mirror(channel, Permission.MIRROR_SYNC))
        return Response({"jobs": [job.pk for job in jobs]})


class ApproveIndexView(_OfMirror):
    @extend_schema(operation_id="mirrors_approve", request=None, responses={202: shapes.WorkAnswer})
    def post(self, request: Request, channel: str) -> Response:
        """Follow the index that the last run held, just as it was then, and run again."""
        job = runs.approve(actor=self.actor, mirror=self.mirror(channel, Permission.MIRROR_UPDATE))
        return self.shown(job, shapes.WorkAnswer, 202)


class RunsView(_OfMirror):
    queryset: QuerySet[SyncRun] = SyncRun.objects.none()
    ordering_fields = ["id"]
    ordering = ["-id"]

    @extend_schema(operation_id="mirrors_runs_list", responses=shapes.RunAnswer(many=True))
    def get(self, request: Request, channel: str) -> Response:
        """The history, the newest first."""
        return self.listed(SyncRun.objects.filter(mirror=self.mirror(channel)).defer("report"), shapes.RunAnswer)


class RunView(_OfMirror):
    @extend_schema(operation_id="mirrors_runs_retrieve", parameters=[shapes.RunQuery], responses=shapes.WholeRunAnswer)
    def get(self, request: Request, channel: str, number: int) -> Response:
        """One run, with its report: what was added, changed, removed, refused and why."""
        run = selectors.run_of(self.mirror(channel), number)
        full = self.asked(shapes.RunQuery)["full"]
        return self.shown(run, shapes.WholeRunAnswer, report=syncing.whole_report if full else lambda found: found.report)


class StatusView(_OfMirror):
    @extend_schema(operation_id="mirrors_status", responses=shapes.StatusAnswer)
    def get(self, request: Request, channel: str) -> Response:
        """How it stands now: the run that goes on and how far it is, how the last one ended, when the next comes."""
        mirror = selectors.with_standing(self.mirror(channel))
        status = {
            "name": mirror.channel.name,
            "state": mirror.standing,
            "mode": mirror.mode,
            "paused": mirror.paused,
            "last_run": selectors.latest_run(mirror),
            "progress": selectors.job_of(mirror),
            "next_run_at": mirror.next_run_at,
            "last_synced_at": mirror.last_synced_at,
            "refusals": MirrorRefusal.objects.filter(mirror=mirror).count(),
            "unshown_keys": selectors.unshown_keys(mirror),
        }
        return self.shown(status, shapes.StatusAnswer)


class RefusalsView(_OfMirror):
    queryset: QuerySet[MirrorRefusal] = MirrorRefusal.objects.none()
    ordering_fields = ["filename", "since"]
    ordering = ["subdir", "filename"]

    @extend_schema(operation_id="mirrors_refusals_list", responses=shapes.RefusalAnswer(many=True))
    def get(self, request: Request, channel: str) -> Response:
        """Packages that the last run could not bring, each with the reason."""
        return self.listed(MirrorRefusal.objects.filter(mirror=self.mirror(channel)), shapes.RefusalAnswer)
