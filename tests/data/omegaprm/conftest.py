"""A real FastChat controller with a fake policy behind it."""

import pytest

from tests.fakes import LM_CARD, FakeWorker, fastchat_controller


@pytest.fixture(scope="session")
def controller(tmp_path_factory):
    """A FastChat controller for the whole session."""
    with fastchat_controller(tmp_path_factory.mktemp("controller")) as address:
        yield address


@pytest.fixture(scope="session")
def services(controller):
    """The controller's address, with a policy `policy` on two workers."""
    with FakeWorker("policy", controller, LM_CARD, delay=0.02), FakeWorker("policy", controller, LM_CARD):
        yield controller
