"""Our own REST API: authentication, errors, paging, schema."""

from __future__ import annotations

from typing import Any

from condahub import __version__

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["condahub.api.authentication.HubAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["condahub.api.permissions.SignedIn"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["condahub.api.parsers.HubJsonParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend", "condahub.api.pagination.StrictOrdering"],
    "DEFAULT_PAGINATION_CLASS": "condahub.api.pagination.HubPagination",
    "DEFAULT_SCHEMA_CLASS": "condahub.api.schema.HubSchema",
    "EXCEPTION_HANDLER": "condahub.api.errors.handle",
    "PAGE_SIZE": 50,
    # The schema describes the API; nothing is to be guessed from OPTIONS or chosen with ?format=.
    "DEFAULT_METADATA_CLASS": None,
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "condahub",
    "VERSION": __version__,
    "DESCRIPTION": "Conda channels, mirrors and environments.",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/hub/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer", "description": "An API token."},
            "basic": {"type": "http", "scheme": "basic", "description": "Any user name, the API token as password."},
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API token."},
            "session": {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "A browser's; changes need X-CSRFToken."},
        }
    },
    "ENUM_NAME_OVERRIDES": {
        "AdvisorySeverityEnum": "channels_app.models.Severity",
        "BuildPackageKindEnum": "environments_app.models.BuildPackage.Kind",
        "ArtifactKindEnum": "environments_app.models.ArtifactKind",
        "ArtifactStateEnum": "environments_app.models.ArtifactState",
        "SpecificationKindEnum": "environments_app.models.SpecificationKind",
        "BundleExportStateEnum": "mirrors_app.models.ExportState",
        "BundleImportStateEnum": "mirrors_app.models.ImportState",
        "MirrorModeEnum": "mirrors_app.models.MirrorMode",
        "MirrorRunStateEnum": "mirrors_app.models.RunState",
        "MirrorStandingEnum": "mirrors_app.selectors.STANDING_CHOICES",
        "RequestStateEnum": "channels_app.models.RequestState",
        "DeliveryStateEnum": "condahub.events.models.DeliveryState",
        "BuildStateEnum": "environments_app.models.BuildState",
        "ChannelKindEnum": "channels_app.models.ChannelKind",
        "EventSeverityEnum": [("info", "info"), ("warning", "warning"), ("error", "error")],
        "FileStateEnum": "channels_app.models.FileState",
        "FoundKindEnum": [("channel", "channel"), ("package", "package")],
        "JobStateEnum": "condahub.jobs.states.JobState",
        "RoleEnum": "condahub.accounts.permissions.Role",
        "TokenKindEnum": "condahub.accounts.models.TokenKind",
        "UserKindEnum": "condahub.accounts.models.UserKind",
        "VisibilityEnum": "condahub.accounts.permissions.Visibility",
    },
    "PATH_CONVERTER_OVERRIDES": {
        "text": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^/\\x00-\\x1f\\x7f]+$"},
        "number": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
    },
}
