"""Real data for these tests: SKINLIB_DATA, else data/raw, else ../shared/data; one line says what is there."""

import os
from pathlib import Path

import pytest

from skinlib.data.cards import CARDS
from skinlib.data.readers_files import is_synthetic

PROJECT = Path(__file__).resolve().parents[2]


def find_root() -> Path | None:
    """The first of the three places that holds the folder of a data set."""
    given = os.environ.get("SKINLIB_DATA")
    places = [Path(given)] if given else [PROJECT / "data" / "raw", PROJECT.parent / "shared" / "data"]
    for place in places:
        if any((place / card.folder).is_dir() for card in CARDS.values()) and not is_synthetic(place):
            return place
    return None


ROOT = find_root()


def have(name: str) -> bool:
    return ROOT is not None and (ROOT / CARDS[name].folder).is_dir()


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(*names): real data sets without which the test is skipped")


def pytest_collection_modifyitems(items):
    """A test marked ``needs(name, ...)`` is skipped where one of these sets is not there."""
    for item in items:
        marker = item.get_closest_marker("needs")
        lacking = [name for name in marker.args if not have(name)] if marker else []
        if lacking:
            item.add_marker(pytest.mark.skip(reason=f"no {', '.join(lacking)} under the data root"))


def pytest_terminal_summary(terminalreporter):
    mine = [report for report in terminalreporter.stats.get("skipped", []) if "tests/real" in str(report.nodeid)]
    found = ", ".join(name for name in CARDS if have(name)) if ROOT else "no real data"
    terminalreporter.write_line(
        f"real data: {found} ({ROOT or 'set SKINLIB_DATA'}), {len(mine)} tests skipped for want of data"
    )


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT
