"""Django's settings and test runner for runtests.py: PG*'s database, and each test's outcome as a line of the file $SUITE_RESULTS."""

import os
import unittest

from django.contrib.postgres.operations import BloomExtension
from django.test.runner import DiscoverRunner
from django_database import DATABASE

# Only a superuser may make it.
BloomExtension.database_forwards = lambda *arguments: None

DATABASES = {
    "default": {**DATABASE, "TEST": {"NAME": DATABASE["NAME"]}},
    # A preview is one database.
    "other": {"ENGINE": "django.db.backends.sqlite3"},
}
if os.environ.get("SUITE_OTHER"):
    # The models of some modules can't be made in SQLite.
    DATABASES["other"] = DATABASES["default"].copy()
SECRET_KEY = "of the tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
TEST_RUNNER = "suite_django.Runner"


class Result(unittest.TextTestResult):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.results = open(os.environ["SUITE_RESULTS"], "a", buffering=1, encoding="utf-8")

    def line(self, word, test, message=""):
        message = " ".join(str(message).split())[-600:]
        self.results.write(f"{word} {test.id()}" + (f" - {message}" if message else "") + "\n")

    def addSuccess(self, test):
        super().addSuccess(test)
        self.line("ok", test)

    def addError(self, test, err):
        super().addError(test, err)
        self.line("not ok", test, self._exc_info_to_string(err, test))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.line("not ok", test, self._exc_info_to_string(err, test))

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.line("not ok", test, self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.line("skip", test, reason)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.line("ok", test)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.line("not ok", test, "unexpected success")


class Runner(DiscoverRunner):
    def get_resultclass(self):
        return Result

    def run_suite(self, suite, **kwargs):
        stage = os.environ.get("SUITE_STAGE")
        if stage:
            # Needs the applications to be loaded.
            import django_stage

            if stage == "fill":
                django_stage.fill(suite)
                return unittest.TestResult()
            django_stage.install(suite)
        return super().run_suite(suite, **kwargs)
