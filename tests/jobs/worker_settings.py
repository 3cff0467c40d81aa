"""Settings of the worker processes that the tests start: the hub's rooms without the apps above them, and the sample kinds."""

from condahub.settings import *  # noqa: F403
from condahub.settings import INSTALLED_APPS

_ABOVE = ("channels_app", "mirrors_app", "environments_app")
INSTALLED_APPS = [*(name for name in INSTALLED_APPS if not name.startswith(_ABOVE)), "tests.jobs.sample"]
