"""Apps, middleware, templates, language, static files, and the hub's own address."""

from __future__ import annotations

from urllib.parse import urlsplit

from condahub.settings.env import BASE_DIR, DATA_DIR, env

DEBUG = env.bool("CONDAHUB_DEBUG", default=False)

PORT = env.int("PORT", default=8000)
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
HOST = env.str("CONDAHUB_HOST", default="127.0.0.1")
CONDAHUB_PUBLIC_URL = env.str("CONDAHUB_PUBLIC_URL", default=f"http://{'127.0.0.1' if HOST in ANY_ADDRESS else HOST}:{PORT}").rstrip("/")
CONDAHUB_DATA = DATA_DIR

# Who may do what, where a setting decides (see docs/operator.md).
CONDAHUB_ALLOW_PUBLIC_CHANNELS = env.bool("CONDAHUB_ALLOW_PUBLIC_CHANNELS", default=True)
CONDAHUB_ALLOW_INTERNAL_CHANNELS = env.bool("CONDAHUB_ALLOW_INTERNAL_CHANNELS", default=True)
CONDAHUB_PERSONAL_ORGANIZATIONS = env.bool("CONDAHUB_PERSONAL_ORGANIZATIONS", default=True)
CONDAHUB_ORGANIZATION_CREATORS = env.list("CONDAHUB_ORGANIZATION_CREATORS", default=[])
CONDAHUB_PERSONAL_QUOTA_BYTES = env.int("CONDAHUB_PERSONAL_QUOTA_BYTES", default=10 * 1024**3)
CONDAHUB_AUDIT_DOWNLOADS = env.bool("CONDAHUB_AUDIT_DOWNLOADS", default=False)
CONDAHUB_MAX_PACKAGE_BYTES = env.int("CONDAHUB_MAX_PACKAGE_BYTES", default=20 * 1024**3)
# Download counts wait so long in a process before they are written.
CONDAHUB_COUNT_FLUSH_SECONDS = 30.0
CONDAHUB_CHANNEL_GRACE_DAYS = env.int("CONDAHUB_CHANNEL_GRACE_DAYS", default=30)

INSTALLED_APPS = [
    "condahub.accounts",
    "condahub.audit",
    "condahub.events",
    "condahub.jobs",
    "condahub.maintenance",
    "condahub.portal",
    "channels_app.apps.ChannelsConfig",
    "environments_app.apps.EnvironmentsConfig",
    "mirrors_app.apps.MirrorsConfig",
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "condahub.adminsite.apps.HubAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.github",
    "allauth.socialaccount.providers.gitlab",
    "allauth.socialaccount.providers.google",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "django_celery_beat",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "condahub.audit.middleware.AuditMiddleware",
    "condahub.maintenance.middleware.MaintenanceMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "condahub.portal.language.LanguageMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "condahub.urls"
WSGI_APPLICATION = "condahub.wsgi.application"
APPEND_SLASH = False
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "condahub.accounts.signin.local.LocalGate",
    "django.contrib.auth.backends.ModelBackend",
    "condahub.accounts.backend.PolicyBackend",
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "condahub.portal.shell.shell",
            ],
        },
    },
]

LANGUAGE_CODE = "en"
# What a person may choose, each in its own words; each but the first has its catalogues (deploy/messages.py).
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "condahub" / "static"]
STATIC_ROOT = DATA_DIR / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
# Static files are served straight from the packages: no collecting before the first page.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

# Uploads stream past Django; what is parsed in memory stays small.
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
FILE_UPLOAD_TEMP_DIR = None

PUBLIC_HOST = urlsplit(CONDAHUB_PUBLIC_URL).hostname or "127.0.0.1"
