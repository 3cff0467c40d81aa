"""The web process: every door."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "condahub.settings")

from django.core.wsgi import get_wsgi_application

from condahub.handlers import DataHandler, split_doors, take_token_out

application = take_token_out(split_doors(get_wsgi_application(), DataHandler()))
