"""REST views of jobs: how far they are, what they logged, and how to stop them."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from condahub.accounts.permissions import HUB, AccessTarget, Permission
from condahub.accounts.policy import Actor, can, readable, require
from condahub.api import converters  # noqa: F401 - registers `number`
from condahub.api.fields import MAX_INTEGER, Answer
from condahub.api.views import HubView
from condahub.errors import Forbidden
from condahub.jobs import selectors, services
from condahub.jobs.models import Job, JobLog
from condahub.jobs.states import JobState, Lane


class JobFilter(django_filters.FilterSet):  # type: ignore[misc]
    state = django_filters.ChoiceFilter(choices=JobState.choices, label="The state it is in.")
    kind = django_filters.CharFilter(label="What it does, such as channels.render.")
    organization = django_filters.CharFilter(field_name="organization__name", label="Whose it is.")


class JobError(Answer):
    code = serializers.CharField(allow_blank=True)
    detail = serializers.CharField(allow_blank=True)
    hint = serializers.CharField(allow_blank=True)


class JobAnswer(Answer):
    id = serializers.IntegerField()
    kind = serializers.CharField()
    lane = serializers.ChoiceField(Lane.choices)
    state = serializers.ChoiceField(JobState.choices)
    organization = serializers.CharField(source="organization.name", allow_null=True, default=None)
    actor = serializers.CharField(source="actor_label", allow_blank=True)
    attempts = serializers.IntegerField()
    max_attempts = serializers.IntegerField()
    cancel_requested = serializers.BooleanField()
    phase = serializers.CharField(allow_blank=True)
    done = serializers.IntegerField()
    total = serializers.IntegerField(allow_null=True)
    unit = serializers.CharField(allow_blank=True)
    rate = serializers.FloatField(allow_null=True, help_text="Units a second.")
    message = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    result = serializers.DictField(allow_null=True)
    error = serializers.SerializerMethodField(help_text="null unless an attempt failed.")

    @extend_schema_field(JobError(allow_null=True))
    def get_error(self, job: Job) -> dict[str, str] | None:
        found = {"code": job.error_code, "detail": job.error_sentence, "hint": job.error_hint}
        return found if job.error_code or job.error_sentence else None


class LogAnswer(Answer):
    sequence = serializers.IntegerField()
    at = serializers.DateTimeField()
    level = serializers.CharField()
    text = serializers.CharField()


class LogQuery(serializers.Serializer[None]):
    after = serializers.IntegerField(required=False, default=0, min_value=0, max_value=MAX_INTEGER, help_text="A sequence number.")


def visible_jobs(actor: Actor) -> QuerySet[Job]:
    """The jobs of organizations that the actor may read jobs of; staff see all, the hub's own included."""
    may = readable(actor, Permission.JOB_READ)
    return selectors.jobs_for(None if may.all else may.organization_ids, asker=actor).select_related("organization")


class JobsView(HubView):
    queryset: QuerySet[Job] = Job.objects.none()
    filterset_class = JobFilter
    ordering_fields = ["id", "created_at", "finished_at"]
    ordering = ["-id"]

    @extend_schema(operation_id="jobs_list", responses=JobAnswer(many=True))
    def get(self, request: Request) -> Response:
        """The jobs of one's organizations, the newest first; staff see all."""
        return self.listed(visible_jobs(self.actor), JobAnswer)


class _JobView(HubView):
    def job(self, number: int, permission: Permission = Permission.JOB_READ) -> Job:
        """Raises Forbidden, the same for those of others and for none."""
        job = Job.objects.select_related("organization").filter(pk=number).first()
        if job is None:
            raise Forbidden
        target = HUB if job.organization_id is None else AccessTarget(organization_id=job.organization_id)
        if not can(self.actor, Permission.JOB_READ, target):
            raise Forbidden
        if not readable(self.actor, Permission.JOB_READ).all and selectors.is_hidden(job, self.actor):
            raise Forbidden
        require(self.actor, permission, target)
        return job


class JobView(_JobView):
    @extend_schema(operation_id="jobs_retrieve", responses=JobAnswer)
    def get(self, request: Request, number: int) -> Response:
        """One job: its state, how far it is, and what came of it."""
        return self.shown(self.job(number), JobAnswer)


class CancelView(_JobView):
    @extend_schema(operation_id="jobs_cancel", request=None, responses=JobAnswer)
    def post(self, request: Request, number: int) -> Response:
        """Cancel a waiting job at once; ask a running one to stop. 409 when it has ended."""
        return self.shown(services.cancel(self.actor, self.job(number, Permission.JOB_CANCEL)), JobAnswer)


class LogView(_JobView):
    queryset: QuerySet[JobLog] = JobLog.objects.none()
    filter_backends = []

    @extend_schema(operation_id="jobs_log_list", parameters=[LogQuery], responses=LogAnswer(many=True))
    def get(self, request: Request, number: int) -> Response:
        """What a job logged, in order; with `after` only what came past that sequence number."""
        job = self.job(number)
        query = LogQuery(data={key: value for key, value in request.query_params.items() if key == "after"})
        query.is_valid(raise_exception=True)
        return self.listed(selectors.log_of(job, after=query.validated_data["after"]), LogAnswer)


urlpatterns = [
    path("jobs", JobsView.as_view()),
    path("jobs/<number:number>", JobView.as_view()),
    path("jobs/<number:number>/cancel", CancelView.as_view()),
    path("jobs/<number:number>/log", LogView.as_view()),
]
