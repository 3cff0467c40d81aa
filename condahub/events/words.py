"""What events say, in the language of whoever reads it; what is kept and what programs read is English."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext, pgettext_lazy

from condahub.events.models import MAX_SENTENCE_CHARS, Event
from condahub.events.types import BY_THE_HUB, type_named

# What stands in the sentences beside names, numbers and reasons.
_VALUES: dict[str, Promise] = {
    "held": pgettext_lazy("event", "held"),
    "live": pgettext_lazy("event", "live"),
    "yanked": pgettext_lazy("event", "yanked"),
    "deleted": pgettext_lazy("event", "deleted"),
    "purged": pgettext_lazy("event", "purged"),
    "approved": pgettext_lazy("event", "approved"),
    "refused": pgettext_lazy("event", "refused"),
    "changed": pgettext_lazy("event", "changed"),
    "archived": pgettext_lazy("event", "archived"),
    "brought back": pgettext_lazy("event", "brought back"),
    "pointed to another build": pgettext_lazy("event", "pointed to another build"),
}
_WORDS_OF = ("state", "answer", "change")


def sentence_of(event: Event) -> str:
    """The event's sentence; as it was written where its type, or what the type says now, needs more than is known of it."""
    try:
        event_type = type_named(event.type)
    except LookupError:
        return event.sentence
    template = gettext(event_type.sentence)
    if template == event_type.sentence:
        return event.sentence
    actor = gettext("the hub") if event.actor_label == BY_THE_HUB else event.actor_label
    values: dict[str, object] = {**event.payload, "object": event.object_name, "actor": actor}
    if "organization" in event_type.fields and event.organization is not None:
        values["organization"] = event.organization.name
    for name in _WORDS_OF:
        values[name] = str(_VALUES.get(str(values.get(name, "")), values.get(name, "")))
    # A reason is a sentence of its own, which an app may have marked where it writes it.
    if reason := str(values.get("reason", "")):
        values["reason"] = gettext(reason)
    try:
        return template.format_map(values)[:MAX_SENTENCE_CHARS]
    except (KeyError, IndexError, ValueError, AttributeError):
        return event.sentence
