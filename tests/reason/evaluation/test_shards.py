"""A run split over clients, and put together again."""

import pytest

from reason.common.errors import UserError
from reason.evaluation import compare, records
from reason.evaluation.runs import read
from reason.evaluation.shards import merge, part
from tests.cli import call, folder_of, records_of
from tests.reason.evaluation.runs import make_run


def shard(folder, number, num_shards=2, **changed):
    ids = changed.pop("ids", [str(i) for i in range(number, 6, num_shards)])
    return make_run(folder, ids=ids, outcomes=[1] * len(ids), planned=6, num_shards=num_shards, shard=number, **changed)


def test_parts_share_out_the_problems():
    problems = list(range(10))
    parts = [part(problems, 3, i) for i in range(3)]
    assert parts[1] == [1, 4, 7] and sorted(i for mine in parts for i in mine) == problems
    assert part(problems, 1, 0) == problems
    with pytest.raises(UserError, match="only 10 are selected"):
        part(problems, 11, 10)


def test_shards_become_one_run_and_other_runs_stay(tmp_path):
    other = make_run(tmp_path, method="cot", budget=None, rm=None)
    runs = merge([read(path) for path in (shard(tmp_path, 1), other, shard(tmp_path, 0))])
    assert [run.config["method"] for run in runs] == ["best_of_n", "cot"]
    whole = runs[0]
    assert set(whole.results) == set("012345") and whole.questions == 6 and len(whole.folders) == 2
    assert whole.ledger.generated_tokens == 6 * 40 and whole.seconds == 3.0
    assert runs[1].results == read(other).results


def test_two_seeds_of_shards_are_two_runs(tmp_path):
    paths = [shard(tmp_path, i, seed=seed) for seed in (0, 1) for i in (0, 1)]
    assert len(merge([read(path) for path in paths])) == 2


@pytest.mark.parametrize("shards, said", [
    ([(0, {})], "shard 1 of 2 is missing"),
    ([(0, {}), (1, {"num_shards": 3})], "shard 1 of 2 is missing"),
    ([(0, {}), (0, {}), (1, {})], "are both shard 0 of 2"),
    ([(0, {}), (1, {"temperature": 0.5})], "is shard 1, but --temperature was None and is 0.5"),
    ([(0, {}), (1, {"seed": 3})], "--seed was 0 and is 3"),
    ([(0, {}), (1, {"ids": ["1", "0"]})], "overlap: both hold question 0"),
])  # fmt: skip
def test_what_is_not_one_whole_run_is_refused_in_one_line(tmp_path, shards, said):
    runs = [read(shard(tmp_path, number, **changed)) for number, changed in shards]
    with pytest.raises(UserError) as caught:
        merge(runs)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_compare_merges_shards_too(tmp_path, capsys):
    assert compare.main([str(shard(tmp_path, 0)), str(shard(tmp_path, 1))]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_clients_of_shards_answer_what_one_client_answers(tmp_path, services):
    words = ["--LM", "policy", "--RM", "prm", "--method", "best_of_n", "--num_sequence", 2, "--task_name", "arithmetic",
             "--limit", 5, "--controller_addr", services, "--save_dir", tmp_path]  # fmt: skip
    whole = folder_of(call(*words))
    parts = [folder_of(call(*words, "--num_shards", 2, "--shard", i)) for i in (0, 1)]
    assert records.read_config(parts[1])["arguments"]["shard"] == 1
    assert [len(records_of(path)) for path in parts] == [3, 2]
    (merged,) = merge([read(path) for path in parts])
    assert merged.results == read(whole).results
    assert merged.config["dataset"] == read(whole).config["dataset"]
    done = call(*words, "--num_shards", 2, "--shard", 2)
    assert done.returncode == 2 and "from 0 to --num_shards - 1 = 1" in done.stderr
    assert len(done.stderr.splitlines()) == 1
