"""Environments and specifications in conda-store's form."""

from __future__ import annotations

import base64
import binascii
import operator
from functools import reduce
from typing import Any

import orjson
import yaml
from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from channels_app.models import Channel
from condahub.accounts.models import Organization
from condahub.accounts.policy import HUB, Actor, Permission, can
from condahub.accounts.services import create_organization
from condahub.errors import Forbidden, Invalid, NotAuthenticated, NotFound, Unprocessable
from environments_app import selectors
from environments_app.artifacts.kinds import KINDS, Kind
from environments_app.building.folders import current_platform
from environments_app.building.questions import would_it_solve
from environments_app.faces.conda_store import shapes
from environments_app.faces.conda_store.entry import Asked, Reply, ordered, page_of
from environments_app.faces.conda_store.permissions import primary_namespace
from environments_app.models import ArtifactKind, Build, BuildPackage, Environment, SpecificationKind
from environments_app.services import builds as build_services
from environments_app.services import environments as services
from environments_app.spec import kind_of

_SORTS = {"namespace": "organization__name", "name": "name"}


def list_environments(asked: Asked) -> object:
    rows = ordered(asked, _filtered(asked), _SORTS, last="name")
    reply = page_of(asked, rows.values(*shapes.ENVIRONMENT), dict)
    kept: Any = reply.data
    return Reply(_shown(asked.actor, kept), reply.more)


def _shown(actor: Actor, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    current = _currents(actor, rows)
    return [shapes.environment(row, current.get(row["pk"])) for row in rows]


def _currents(actor: Actor, rows: list[dict[str, Any]]) -> dict[int, int]:
    """Environment -> the current build that may be seen: where none has completed yet the newest, which its clients follow by this name."""
    seen = selectors.builds_seen(actor, (row["current_build_id"] for row in rows))
    found = {row["pk"]: row["current_build_id"] for row in rows if row["current_build_id"] in seen}
    without = [row["pk"] for row in rows if row["current_build_id"] is None]
    if without:
        visible = Build.objects.visible_to(actor).order_by().filter(environment__in=without)
        found.update(visible.values_list("environment_id").annotate(newest=Max("pk")))
    return found


def _filtered(asked: Asked) -> QuerySet[Environment]:
    rows = selectors.environments_listed(asked.actor)
    if asked.text("search"):
        words = asked.text("search")
        rows = rows.filter(Q(name__icontains=words) | Q(organization__name__icontains=words))
    if asked.text("namespace"):
        rows = rows.filter(organization__name=asked.text("namespace"))
    if asked.text("name"):
        rows = rows.filter(name=asked.text("name"))
    # What a build holds is told of builds that may be seen alone.
    current = Build.objects.visible_to(asked.actor).filter(pk=OuterRef("current_build"))
    for condition in build_conditions(asked):
        current = current.filter(condition)
        rows = rows.filter(Exists(current))
    return rows


def build_conditions(asked: Asked) -> list[Q]:
    """The filters `status`, `packages` (all of them) and `artifact` on builds. Raises Invalid for a word that is none."""
    found = []
    status = asked.text("status").upper()
    if status:
        if status not in shapes.STATES:
            raise Invalid(f"There is no status '{status[:40]}'.", code="bad_value", hint=f"One of {', '.join(shapes.STATES)}.")
        found.append(Q(state=shapes.STATES[status]))
    names = asked.query.getlist("packages")
    found.extend(Q(Exists(BuildPackage.objects.filter(build=OuterRef("pk"), name=name))) for name in names)
    wanted = asked.query.getlist("artifact")
    if wanted:
        kinds = [KINDS[shapes.ARTIFACT_KINDS[word]] for word in wanted if word in shapes.ARTIFACT_KINDS]
        found.append(reduce(operator.or_, (_has(kind) for kind in kinds), Q(pk__in=[])))
    return found


def _has(kind: Kind) -> Q:
    """Builds that have this artifact, or of which it is written or made when somebody asks for it."""
    if kind.kind == ArtifactKind.LOG:
        return Q(job__isnull=False)
    return Q(lock__isnull=False) if kind.needs_lock else ~Q(pk__in=[])


def list_by_cursor(asked: Asked) -> object:
    """v2: `?limit&cursor`; the cursor holds the last row's place, so that no page is counted from the start."""
    limit = min(asked.number("limit", 100, 10**9), 100)
    rows = _filtered(asked)
    count = rows.count()
    descending = asked.text("order") == "desc"
    after = _decoded(asked.text("cursor"))
    if after is not None:
        side = "lt" if descending else "gt"
        beyond = [Q(**{f"organization__name__{side}": after[0]}), Q(organization__name=after[0], **{f"name__{side}": after[1]})]
        rows = rows.filter(reduce(operator.or_, beyond))
    sign = "-" if descending else ""
    found = list(rows.order_by(f"{sign}organization__name", f"{sign}name").values(*shapes.ENVIRONMENT)[: limit + 1])
    shown, more = found[:limit], len(found) > limit
    cursor = _encoded([shown[-1]["organization__name"], shown[-1]["name"]]) if more else None
    return Reply(_shown(asked.actor, shown), {"cursor": cursor, "count": count})


def _encoded(place: list[str]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode()


def _decoded(cursor: str) -> list[str] | None:
    if not cursor:
        return None
    try:
        place = orjson.loads(base64.urlsafe_b64decode(cursor))
    except (binascii.Error, ValueError):
        place = None
    if not (isinstance(place, list) and len(place) == 2 and all(isinstance(word, str) for word in place)):
        raise Invalid("This is no cursor of this list.", code="bad_cursor", hint="Begin without one.")
    return place


def get_environment(asked: Asked, namespace: str, name: str) -> object:
    found = selectors.environment_for(asked.actor, namespace, name, Permission.ENVIRONMENT_READ)
    row = Environment.objects.values(*shapes.ENVIRONMENT).get(pk=found.pk)
    current = _currents(asked.actor, [row]).get(found.pk)
    full = build_by_id(asked.actor, str(current), environment=found) if current is not None else None
    return shapes.environment(row, current, current=shapes.build_in_full(full) if full is not None else None)


def put_environment(asked: Asked, namespace: str, name: str) -> object:
    """`{build_id?, description?}`: makes a build the current one, describes."""
    found = selectors.environment_for(asked.actor, namespace, name, Permission.ENVIRONMENT_UPDATE)
    body = asked.body()
    if body.get("description") is not None:
        found = services.update_environment(actor=asked.actor, environment=found, changes={"description": str(body["description"])})
    if body.get("build_id") is not None:
        build = build_by_id(asked.actor, str(body["build_id"]), environment=found)
        services.activate_build(actor=asked.actor, environment=found, build=build)
    return None


def delete_environment(asked: Asked, namespace: str, name: str) -> object:
    found = selectors.environment_for(asked.actor, namespace, name, Permission.ENVIRONMENT_DELETE)
    services.delete_environment(actor=asked.actor, environment=found)
    return None


def build_by_id(actor: Actor, number: str, *, environment: Environment | None = None) -> Build:
    """A build by the number that is its own in the whole hub. Raises NotFound, for a hidden one as well."""
    rows = selectors.shown_builds(Build.objects.visible_to(actor))
    if environment is not None:
        rows = rows.filter(environment=environment)
    found = rows.filter(pk=int(number)).first() if number.isascii() and number.isdigit() and len(number) < 18 else None
    if found is None:
        raise NotFound("There is no such build, or you may not see it.", code="no_such_build")
    return found


def post_specification(asked: Asked) -> object:
    """`{specification: "<text>", namespace?, is_lockfile?, environment_name?, environment_description?}` gives `{build_id}`."""
    body = asked.body()
    text = body.get("specification")
    if not isinstance(text, str):
        raise Unprocessable("'specification' must be the text of an environment.yml.", code="bad_value")
    if body.get("is_lockfile") and kind_of(text) == SpecificationKind.YAML:
        raise Unprocessable(
            "This is no lock file that is known here.", code="invalid_lock", hint="conda-lock 1, pixi.lock 6 or 7, or @EXPLICIT."
        )
    return _submitted(asked, body, text, name=str(body.get("environment_name") or ""))


def post_environment(asked: Asked) -> object:
    """`{namespace, specification: {name, channels, dependencies}}`: the same, with the specification as an object."""
    body = asked.body()
    specification = body.get("specification")
    if not isinstance(specification, dict):
        raise Unprocessable("'specification' must be an object.", code="bad_value", hint="With name, channels and dependencies.")
    return _submitted(asked, body, yaml.safe_dump(specification, sort_keys=False, allow_unicode=True))


def _submitted(asked: Asked, body: dict[str, Any], text: str, *, name: str = "") -> object:
    if asked.actor.is_anonymous:
        raise NotAuthenticated
    namespace = str(body.get("namespace") or primary_namespace(asked.actor))
    organization = _organization(asked.actor, namespace, text)
    description = body.get("environment_description")
    build = build_services.submit_specification(
        actor=asked.actor,
        organization=organization,
        text=text,
        name=name,
        description=description if isinstance(description, str) and description else None,
    )
    return {"build_id": build.pk}


def _organization(actor: Actor, namespace: str, text: str) -> Organization:
    """The organization of that name; made where the actor may, and only when there will be a build in it."""
    found = Organization.objects.filter(deleted_at__isnull=True, name=namespace).first()
    if found is not None:
        return found
    if not can(actor, Permission.ORGANIZATION_CREATE, HUB):
        raise Forbidden
    build_services.validate(actor=actor, text=text)
    return create_organization(actor=actor, name=namespace)


def solve(asked: Asked) -> object:
    """Which packages `?channels&conda&pip` would get on this hub's platform, in the primary namespace or the one that is named."""
    if asked.actor.is_anonymous:
        raise NotAuthenticated
    namespace = asked.text("namespace") or primary_namespace(asked.actor)
    organization = selectors.organization_for(asked.actor, namespace, Permission.ENVIRONMENT_SOLVE)
    pip = asked.query.getlist("pip")
    asks = {
        # Its command says `channels`, its server read `channel`.
        "channels": [*asked.query.getlist("channels"), *asked.query.getlist("channel")],
        "dependencies": [*asked.query.getlist("conda"), *([{"pip": pip}] if pip else [])],
        "platforms": [current_platform()],
    }
    text = yaml.safe_dump({key: value for key, value in asks.items() if value}, sort_keys=False, allow_unicode=True)
    answer = would_it_solve(actor=asked.actor, organization=organization, environment=None, text=text)
    if not answer["solves"]:
        raise Unprocessable("It can't be solved.", code="unsolvable", hint=str(answer["conflict"].get("tree", "")))
    rows: list[dict[str, Any]] = next(iter(answer["packages"].values()), [])
    known = dict(Channel.objects.filter(name__in={row["channel"] for row in rows}).values_list("name", "pk"))
    return Reply(more={"solve": [{**row, "channel_id": known.get(row["channel"])} for row in rows]})
