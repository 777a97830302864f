"""Django's command line at a fixed time and with fixed choices: what it does is the same on both sides."""

import datetime
import os
import random
import secrets
import sys
import uuid

import time_machine

chance = random.Random(" ".join(sys.argv))
secrets.choice = chance.choice
if "makemigrations" not in sys.argv:
    uuid.uuid4 = lambda: uuid.UUID(int=chance.getrandbits(128), version=4)
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
with time_machine.travel(datetime.datetime(2026, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc), tick=False):
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
