"""A pytest plugin: each test's outcome as a line of the file $SUITE_RESULTS."""

import os

RESULTS = open(os.environ["SUITE_RESULTS"], "a", buffering=1, encoding="utf-8")


def line(word, name, message=""):
    name = " ".join(name.split())
    message = " ".join(str(message).split())[:600]
    RESULTS.write(f"{word} {name}" + (f" - {message}" if message else "") + "\n")


def pytest_runtest_logreport(report):
    name = report.nodeid.replace(" - ", " -")
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        line("not ok", name, crash.message if crash else report.longrepr)
    elif report.skipped:
        line("skip", name)
    elif report.when == "call":
        line("ok", name)
