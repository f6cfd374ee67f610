import json

import pytest

from reason.common.errors import UserError
from reason.evaluation import records

CONFIG = {"arguments": {"seed": 0, "num_worker": 4, "LM": "a"}, "method_config": {"width": 4}, "gen_config": {},
          "dataset": {"sha256": "x"}, "cards": {}}  # fmt: skip


def record(identifier, error=None, text="17 + 25 = 42"):
    result = None if error else {"headline": 1}
    return {"id": identifier, "result": result, "ledger": {}, "error": error, "level": None, "undecided": 0,
            "elapsed": 1.0, "text": text}  # fmt: skip


def test_two_runs_of_one_second_have_folders_of_their_own(tmp_path):
    folders = [records.create(tmp_path, "arithmetic", "cot", CONFIG) for _ in range(3)]
    assert len({folder.path for folder in folders}) == 3


def test_a_line_is_on_disk_as_soon_as_it_is_appended(tmp_path):
    folder = records.create(tmp_path, "arithmetic", "cot", CONFIG)
    folder.append(record("a"))
    assert [r["id"] for r in records.read_records(folder.path)] == ["a"]


@pytest.mark.parametrize(
    "text", ["line\u2028separator\x85\x1e", "lone surrogate \ud800", "数学 🧮", 'quote " and \\ and \n']
)
def test_any_text_survives(tmp_path, text):
    folder = records.create(tmp_path, "arithmetic", "cot", CONFIG)
    folder.append(record("a", text=text))
    folder.close()
    records.resume(folder.path, CONFIG).close()
    assert records.read_records(folder.path)[0]["text"] == text


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_is_dropped_wherever_it_is_cut(tmp_path, cut):
    folder = records.create(tmp_path, "arithmetic", "cot", CONFIG)
    folder.append(record("a"))
    folder.append(record("b", text="数学" * 20))
    folder.close()
    path = folder.path / records.RECORDS
    path.write_bytes(path.read_bytes()[:-cut])
    resumed = records.resume(folder.path, CONFIG)
    assert [f.id for f in resumed.finished] == ["a"]
    resumed.append(record("c"))
    assert [r["id"] for r in records.read_records(folder.path)] == ["a", "c"]


def test_failed_questions_are_dropped_on_resume_and_a_damaged_line_is_refused(tmp_path):
    folder = records.create(tmp_path, "arithmetic", "cot", CONFIG)
    folder.append(record("a", error={"type": "ModelError", "message": "x"}))
    folder.append(record("b"))
    folder.close()
    records.resume(folder.path, CONFIG).close()
    assert [r["id"] for r in records.read_records(folder.path)] == ["b"]
    path = folder.path / records.RECORDS
    path.write_text("{broken}\n" + path.read_text())
    with pytest.raises(UserError, match="line 1"):
        records.resume(folder.path, CONFIG)


def test_another_configuration_is_refused_by_name_and_the_number_of_workers_may_differ(tmp_path):
    folder = records.create(tmp_path, "arithmetic", "cot", CONFIG)
    folder.close()
    records.resume(folder.path, CONFIG | {"arguments": CONFIG["arguments"] | {"num_worker": 64}}).close()
    for changed, named in [
        ({"arguments": CONFIG["arguments"] | {"LM": "b"}}, "--LM was 'a' and is 'b'"),
        ({"method_config": {"width": 5}}, "method_config width was 4 and is 5"),
        ({"dataset": {"sha256": "y"}}, "dataset sha256"),
    ]:
        with pytest.raises(UserError, match=named):
            records.resume(folder.path, CONFIG | changed)


def test_a_run_is_written_by_one_process_at_a_time(tmp_path):
    folder = records.create(tmp_path, "arithmetic", "cot", CONFIG)
    with pytest.raises(UserError, match="another process"):
        records.resume(folder.path, CONFIG)
    folder.close()
    records.resume(folder.path, CONFIG).close()


def test_averages_have_openrs_shape(tmp_path):
    folder = records.create(tmp_path, "arithmetic", "cot", CONFIG)
    folder.write_averages({"majority_vote": 0.5})
    assert json.loads((folder.path / "avg_result.json").read_text()) == [{"majority_vote": 0.5}]
    assert records.read_averages(folder.path) == {"majority_vote": 0.5}


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--save_dir"):
        records.create(tmp_path / "file", "arithmetic", "cot", CONFIG)


def test_a_run_from_before_an_option_of_a_method_goes_on_with_its_default(tmp_path):
    folder = records.create(tmp_path, "arithmetic", "cot", CONFIG)
    folder.close()

    def now(value):
        return CONFIG | {part: CONFIG[part] | {"wave_size": value} for part in ("arguments", "method_config")}

    records.resume(folder.path, now(4)).close()
    with pytest.raises(UserError, match="--wave_size was 4 and is 5"):
        records.resume(folder.path, now(5))


def test_what_an_older_version_did_not_know_is_off_there():
    older = {"arguments": {"LM": "a"}, "cards": {"LM": {"name": "a", "stop": []}}}
    newer = {"arguments": {"LM": "a", "count_cut": False}, "cards": {"LM": {"name": "a", "stop": [], "task": ""}}}
    parts = ("arguments", "cards")
    assert records.first_difference(older, newer, (), parts) is None
    assert records.first_difference(newer, older, (), parts) is None
    newer["arguments"]["count_cut"] = True
    assert records.first_difference(older, newer, (), parts) == "--count_cut was None and is True"
    newer = {"arguments": {"LM": "a"}, "cards": {"LM": {"name": "a", "stop": [], "task": "MATH"}}}
    assert "cards LM was" in (records.first_difference(older, newer, (), parts) or "")
