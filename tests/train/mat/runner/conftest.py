"""What whole runs are made of."""

from pathlib import Path

import pytest

from tests.train.mat.families import save_family


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random Qwen2."""
    return save_family(tmp_path_factory.mktemp("policy"), "qwen2")
