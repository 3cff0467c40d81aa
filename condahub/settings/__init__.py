"""Settings of the web process, the workers and the commands; each concern has its own file, all driven by the environment."""

from condahub.settings.base import *  # noqa: F403
from condahub.settings.security import *  # noqa: F403
from condahub.settings.database import *  # noqa: F403
from condahub.settings.storage import *  # noqa: F403
from condahub.settings.queue import *  # noqa: F403
from condahub.settings.cache import *  # noqa: F403
from condahub.settings.rest import *  # noqa: F403
from condahub.settings.mail import *  # noqa: F403
from condahub.settings.signin import *  # noqa: F403
from condahub.settings.directory import *  # noqa: F403
from condahub.settings.network import *  # noqa: F403
from condahub.settings.environments import *  # noqa: F403
from condahub.settings.metrics import *  # noqa: F403
from condahub.settings.adminsite import *  # noqa: F403
from condahub.settings.logs import *  # noqa: F403
