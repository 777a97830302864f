"""Django's command line with a clock and with choices of its own: what it does is the same on both sides.

The clock goes on by a second whenever Django asks for the time, so that nothing has happened at the same moment.
"""

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
day = 3 if "fill" in sys.argv else 4
with time_machine.travel(datetime.datetime(2026, 2, day, 4, 5, 6, tzinfo=datetime.timezone.utc), tick=False) as clock:
    from django.utils import timezone

    at = timezone.now

    def now():
        clock.shift(1)
        return at()

    timezone.now = now
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
