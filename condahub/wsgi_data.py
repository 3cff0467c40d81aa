"""The byte-serving process: GET and HEAD of channels alone, so that it waits for nobody."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "condahub.settings")

import django

django.setup(set_prefix=False)

from condahub.handlers import DataHandler, take_token_out  # noqa: E402

application = take_token_out(DataHandler())
