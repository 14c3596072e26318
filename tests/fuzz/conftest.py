"""The table of outcomes, and a process to try things in."""

import sys
from collections import Counter

import pytest
from report.conftest import (  # noqa: F401
    make_results,
    make_target,
    without_figures,
    without_plots,
)

# pipes, devices, forks and bounds on memory, as Linux has them
collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]
OUTCOMES: dict[str, Counter] = {}


@pytest.fixture
def tally():
    """Count an outcome: ``tally(suite, kind, outcome)``."""

    def count(suite, kind, outcome):
        OUTCOMES.setdefault(f"{suite}: {kind}", Counter())[outcome] += 1

    return count


@pytest.fixture(scope="session")
def child():
    from fuzz.child import Child

    process = Child()
    yield process
    process.stop()


def pytest_terminal_summary(terminalreporter):
    if OUTCOMES:
        terminalreporter.section("hostile inputs and their outcomes")
    for suite in dict.fromkeys(name.split(":")[0] for name in OUTCOMES):
        total = Counter()
        for name, counts in OUTCOMES.items():
            if name.split(":")[0] == suite:
                total += counts
                terminalreporter.line(f"{name:<58}{dict(sorted(counts.items()))}")
        terminalreporter.line(f"{suite}: {total.total()} in all {dict(sorted(total.items()))}\n")
