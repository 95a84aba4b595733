import pytest
from comparing import configs


@pytest.fixture(scope="module")
def runs(request):
    """Return name -> configuration of the runs that a test file's ``plan`` makes of its ``PROFILE``."""
    return configs(request.module.plan, request.module.PROFILE)
