"""Files that appear whole or not at all."""

import pytest

from reason.common.errors import UserError
from reason.common.files import whole_file


def test_a_file_appears_when_its_block_ends(tmp_path):
    path = tmp_path / "out.jsonl"
    with whole_file(path) as file:
        file.write(b"1\n")
        assert not path.exists()
    assert path.read_bytes() == b"1\n" and list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), whole_file(path) as file:
        file.write(b"new")
        raise KeyError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="out: cannot be written: No such"), whole_file(tmp_path / "none/out"):
        pass
