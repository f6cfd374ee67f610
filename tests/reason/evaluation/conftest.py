"""A real FastChat controller with fake workers behind it."""

import pytest

from tests.fakes import LM_CARD, PRM_CARD, FakeWorker, fastchat_controller


@pytest.fixture(scope="session")
def controller(tmp_path_factory):
    """A FastChat controller for the whole session; models are told apart by their names."""
    with fastchat_controller(tmp_path_factory.mktemp("controller")) as address:
        yield address


@pytest.fixture(scope="session")
def services(controller):
    """The controller's address, with a policy `policy` and a reward model `prm` that behave, on two workers each."""
    with FakeWorker("policy", controller, LM_CARD, delay=0.02), FakeWorker("policy", controller, LM_CARD), \
            FakeWorker("prm", controller, PRM_CARD, delay=0.02), FakeWorker("prm", controller, PRM_CARD):  # fmt: skip
        yield controller
