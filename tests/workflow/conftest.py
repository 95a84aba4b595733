"""Commands set what decides the arithmetic of their process; a test gives it back."""

import os
from unittest import mock

import pytest


@pytest.fixture(autouse=True)
def environment():
    with mock.patch.dict(os.environ):
        yield
