import pytest

from prm.scoring.scorer import Scorer
from tests.prm.tiny import CARD, save_prm, tokenizer_in


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    return tokenizer_in(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def prm_folder(tmp_path_factory):
    return save_prm(tmp_path_factory.mktemp("prm"))


@pytest.fixture(scope="session")
def scorer(prm_folder):
    return Scorer.load(str(prm_folder), CARD, device="cpu")
