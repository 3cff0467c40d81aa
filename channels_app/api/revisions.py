"""REST views of a channel's revisions."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from channels_app import history, selectors
from channels_app.api import shapes
from channels_app.models import Revision
from channels_app.services import keeping
from channels_app.services.rollback import roll_back
from channels_app.virtual import walls
from condahub.accounts.permissions import Permission
from condahub.api.permissions import Anybody
from condahub.api.views import HubView


class RevisionsView(HubView):
    queryset: QuerySet[Revision] = Revision.objects.none()
    permission_classes = [Anybody]
    ordering_fields = ["number"]
    ordering = ["-number"]

    @extend_schema(operation_id="revisions_list", responses=shapes.RevisionAnswer(many=True))
    def get(self, request: Request, channel: str) -> Response:
        """The kept revisions of a channel, the newest first."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        return self.listed(history.revisions_of(found), shapes.RevisionAnswer, channel=found)


class RevisionView(HubView):
    permission_classes = [Anybody]

    @extend_schema(operation_id="revisions_retrieve", responses=shapes.RevisionAnswer)
    def get(self, request: Request, channel: str, number: int) -> Response:
        """One revision of a channel."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        return self.shown(history.revision_of(found, number), shapes.RevisionAnswer, channel=found)


class KeepView(HubView):
    @extend_schema(operation_id="revisions_keep", request=shapes.KeepBody, responses=shapes.RevisionAnswer)
    def put(self, request: Request, channel: str, number: int) -> Response:
        """Keep a revision for ever, and give it a tag; or let the rules have it again."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_UPDATE)
        kept = keeping.keep_revision(actor=self.actor, channel=found, number=number, **self.given(shapes.KeepBody))
        return self.shown(kept, shapes.RevisionAnswer, channel=found)


class DiffView(HubView):
    permission_classes = [Anybody]
    pagination_class = None

    @extend_schema(operation_id="revisions_diff", parameters=[shapes.DiffQuery], responses=shapes.DiffAnswer)
    def get(self, request: Request, channel: str, number: int) -> Response:
        """What the index gained, changed and lost up to this revision, since another (the one before unless said; 0 is empty)."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        since = self.asked(shapes.DiffQuery).get("since", max(number - 1, 0))
        walls.require_revisions(self.actor, found, since, number)
        return self.shown(history.differences(found, since=since, until=number), shapes.DiffAnswer)


class RollbackView(HubView):
    pagination_class = None

    @extend_schema(operation_id="revisions_rollback", request=shapes.RollbackBody, responses=shapes.RollbackAnswer)
    def post(self, request: Request, channel: str, number: int) -> Response:
        """Make the channel show again what this revision showed, as a new one; with `dry_run` only say what that would do."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_UPDATE)
        done = roll_back(actor=self.actor, channel=found, to=number, **self.given(shapes.RollbackBody))
        return self.shown(done, shapes.RollbackAnswer)
