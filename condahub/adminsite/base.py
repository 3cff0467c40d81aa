"""The base of the admin's lists: staff look at everything there, and change things through the services alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from unfold.admin import ModelAdmin, TabularInline

from condahub.adminsite import confirming, exporting
from condahub.adminsite.confirming import Verb
from condahub.adminsite.paging import BoundedPaginator
from condahub.adminsite.site import may_act, may_look
from condahub.portal import registry

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
    AnyInline = admin.TabularInline[Any, Any]
else:
    AnyModelAdmin = ModelAdmin
    AnyInline = TabularInline


class _Looked:
    """An edit here would go past policy, audit and the index, so there is none."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_look(request)

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LookOnly(_Looked, AnyModelAdmin):
    """A list and its objects' pages, to look at.

    verbs: what staff may do to many rows at once, each after a page that asks. deferred: columns that no list shows.
    """

    show_full_result_count = False
    paginator = BoundedPaginator
    list_per_page = 50
    list_max_show_all = 200
    list_fullwidth = True
    list_filter_sheet = True
    compressed_fields = True
    verbs: Sequence[Verb] = ()
    deferred: Sequence[str] = ()
    change_list_template = "admin/hub_change_list.html"

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_look(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        return rows.defer(*self.deferred) if self.deferred else rows

    # -- where else it is shown ----------------------------------------------------------------------------------------

    def portal_path(self, obj: Any) -> str:
        """Where the portal shows it; '' for nowhere."""
        return registry.audit_link(self.audit_target(obj))

    def audit_target(self, obj: Any) -> str:
        """What the audit calls it, and what begins so; '' for what it does not know."""
        return ""

    def audit_query(self, obj: Any) -> dict[str, Any]:
        """Which of the audit's events are about it."""
        target = self.audit_target(obj)
        return {"target__startswith": target} if target else {}

    def jobs_query(self, obj: Any) -> dict[str, Any]:
        """Which of the jobs are about it."""
        return {}

    @admin.display(description="See also")
    def links(self, obj: Any) -> SafeString:
        """Its page in the portal, what was done to it, its jobs."""
        found = [("Portal", self.portal_path(obj))]
        audit = self.audit_query(obj)
        if audit:
            found.append(("Audit", listing("audit_auditevent", **audit)))
        query = self.jobs_query(obj)
        if query:
            found.append(("Jobs", listing("jobs_job", **query)))
        shown = [(path, word) for word, path in found if path]
        return format_html_join(mark_safe(" · "), '<a class="hub-link" href="{}">{}</a>', shown) if shown else mark_safe("-")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """The links on top."""
        fields = list(super().get_fields(request, obj))
        return sorted(fields, key=lambda field: field != "links")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*super().get_readonly_fields(request, obj), *(["links"] if "links" in self.get_list_display(request) else [])]

    # -- verbs and export ----------------------------------------------------------------------------------------------

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Django's own deletion is none of them."""
        if not may_act(request):
            return {}
        return {verb.name: (confirming.as_action(verb), verb.name, verb.label) for verb in self.verbs}

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        return [path("export/", self.admin_site.admin_view(self.export_view), name=name), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """The list as it is filtered now, all pages of it, as CSV or JSON lines."""
        return exporting.export(self, request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        query = request.GET.copy()
        query.pop("p", None)
        here = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_export")
        exports = [(word, f"{here}?{urlencode([*query.lists(), ('format', word.lower())], doseq=True)}") for word in ("CSV", "JSON")]
        return super().changelist_view(request, {"exports": exports, **(extra_context or {})})


class LookInline(_Looked, AnyInline):
    """The rows of another table that belong to an object, on its page, a page of them at a time."""

    extra = 0
    ordering: ClassVar[tuple[str, ...]] = ("-pk",)
    max_num = 0
    can_delete = False
    show_change_link = True
    tab = True
    per_page = 20


def listing(model: str, **query: Any) -> str:
    """The path of a list, filtered."""
    return f"{reverse(f'admin:{model}_changelist')}?{urlencode(query)}"


def object_link(obj: Model | None) -> SafeString:
    """A link to an object's page here."""
    if obj is None:
        return mark_safe("-")
    meta = obj._meta
    return format_html(
        '<a class="hub-link" href="{}">{}</a>', reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[obj.pk]), obj
    )
