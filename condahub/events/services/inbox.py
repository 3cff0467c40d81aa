"""What somebody does with the own inbox."""

from __future__ import annotations

from collections.abc import Collection

from django.utils import timezone

from condahub.accounts.policy import Actor
from condahub.errors import Forbidden, NotAuthenticated
from condahub.events import selectors
from condahub.events.models import InboxItem


def require_whole(actor: Actor) -> None:
    """A person's own matters take a session, or a token that nothing narrows. Raises NotAuthenticated, Forbidden."""
    if actor.is_anonymous:
        raise NotAuthenticated
    if not actor.is_active or (actor.token is not None and not actor.token.is_full):
        raise Forbidden("This takes a session, or a token with full power.", hint="Make a token with the scope 'full'.")


def mark_read(*, actor: Actor, ids: Collection[int] | None = None, read: bool = True) -> int:
    """Mark these items of the own inbox, or all of them, as read (or not). Ids of others are passed over. Returns how many changed."""
    require_whole(actor)
    items = selectors.inbox_of(actor)
    if ids is not None:
        items = items.filter(pk__in=ids)
    items = items.filter(read_at__isnull=read)
    # Through ids, as an update takes no joins.
    found = InboxItem.objects.filter(pk__in=items.order_by().values("pk"))
    return found.update(read_at=timezone.now() if read else None)
