"""The command line: options, refusals, and output that is whole or not there."""

import json
import resource
import subprocess
import sys

import pytest

from data.preprocess import cli
from tests.cli import call
from tests.data.preprocess.samples import FLAT, MATH_SHEPHERD, PRM800K, TREE, brief, convert, write
from tests.fakes import ROOT


def python(code, *arguments):
    """Run some code in the repository's root."""
    line = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)


CLI = "data/preprocess/cli.py"


@pytest.mark.parametrize(
    ("typed", "tag"),
    [(r"\n\n", "\n\n"), ("ки", "ки"), (r"\u043a\u0438", "ки"), (r"\\n", r"\n"), (r"<\t>", "<\t>"), ("\n", "\n")],
)
def test_escapes_of_the_step_tag(tmp_path, typed, tag):
    rows = convert(tmp_path, "math-shepherd", [MATH_SHEPHERD], "--openr", "--step-tag", typed)
    assert rows[0]["process"] == f"2 + 3 = <<2+3=6>>6 pens. {tag} The answer is: 6 {tag}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prm801k", "F"], "argument FORMAT: invalid choice: 'prm801k'"),
        (["prm800k", "F", "--openr", "-t", r"\s"], r"argument -t/--step-tag: has the unknown escape '\\s'"),
        (["prm800k", "F", "--openr", "-t", ""], "argument -t/--step-tag: must not be empty"),
        (["prm800k", "F", "-t", "x"], "--step-tag is of OpenR's flat form: give --openr as well"),
        (["math-aps", "F", "--neutral-is-bad"], "--neutral-is-bad and --neutral-is-good are of prm800k"),
        (["prm800k", "F", "--hard-above", "0.5"], "--hard-above is of math-aps, math-aps-tree, omegaprm"),
        (["math-aps", "F", "--hard-above", "50"], "argument --hard-above: must be a number from 0 to below 1"),
        (["prm800k", "F", "--openr", "--label-once"], "--label-once needs labels of -1"),
        (["prm800k", "F.json", "F.jsonl"], "two of the files would be written as F.new.jsonl"),
        (["prm800k", "F", "-s", "a/b"], "--suffix 'a/b' is no part of a file name"),
        (["prm800k", "/dev/null", "--output-dir", "none"], "none/null.new.jsonl: cannot be written: No such file or"),
        (["prm800k", "/none/F", "--output-dir", "none"], "/none/F: cannot be read: No such file or directory"),
        (["prm800k", "F", "--output", "F.jsonl"], "unrecognized arguments: --output"),
        (["prm800k", "none.jsonl", "--output-dir", "."], "none.jsonl: cannot be read: No such file or directory"),
    ],
)
def test_refusals_are_one_line_and_status_2(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    try:
        status = cli.main(arguments)
    except SystemExit as stopped:
        status = stopped.code
    error = capsys.readouterr().err
    assert status == 2 and error.startswith(f"cli.py: {message}") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_options_may_stand_anywhere(tmp_path):
    first, second = (
        write(tmp_path / "a.jsonl", [MATH_SHEPHERD]),
        write(tmp_path / "b.json", [MATH_SHEPHERD], as_list=True),
    )
    assert cli.main(["-s", "prm", "math-shepherd", str(first), "--openr", "-t", "#", str(second)]) == 0
    a, b = ((tmp_path / name).read_text() for name in ("a.prm.json", "b.prm.json"))
    assert a == b and json.loads(a)[0]["process"].count("#") == 2


def test_label_once_labels_each_step_of_a_row_once(tmp_path):
    rows = convert(tmp_path, "prm800k", [PRM800K, PRM800K], "--label-once")
    assert [row["labels"] for row in rows[:5]] == [[1, 1, 1], [-1, 0], [-1, 0], [-1, -1, -1], [-1, -1, -1]]
    assert [row["labels"] for row in rows[5:]] == [row["labels"] for row in rows[:5]]


def test_the_flat_form_is_read_back(tmp_path):
    expected = brief(convert(tmp_path, "math-aps-tree", [TREE]))
    flat = convert(tmp_path, "math-aps-tree", [TREE], "--openr")
    assert brief(convert(tmp_path, "openr", flat)) == expected


def test_the_same_file_gives_the_same_bytes(tmp_path):
    def once():
        convert(tmp_path, "math-aps", [FLAT] * 3)
        return (tmp_path / "rows.new.jsonl").read_bytes()

    assert once() == once()


def test_a_failure_leaves_the_old_output_alone(tmp_path, capsys):
    convert(tmp_path, "prm800k", [PRM800K])
    before = (tmp_path / "rows.new.jsonl").read_text()
    path = write(tmp_path / "rows.jsonl", [PRM800K, '{"torn": '])
    assert cli.main(["prm800k", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"cli.py: {path}, line 2: not valid JSON: Expecting value at character 11 (--skip-bad-rows goes on)\n"
    )
    assert (tmp_path / "rows.new.jsonl").read_text() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rows.jsonl", "rows.new.jsonl"]


def test_bad_rows_leave_no_trace_but_their_count(tmp_path, capsys):
    """A row is taken whole: the right half of one is neither written nor counted."""
    bad = json.loads(json.dumps(PRM800K))
    bad["label"]["steps"][2]["completions"][2]["text"] = ""
    path = write(tmp_path / "rows.jsonl", [bad] * 7 + [PRM800K])
    assert cli.main(["prm800k", str(path), "--skip-bad-rows"]) == 0
    told = capsys.readouterr()
    assert told.err.count("skipped: ") == 5 and told.err.startswith(f"skipped: {path}, line 1: label.steps[2].")
    assert "8 rows, 5 solutions, 13 steps: 9 right, 2 wrong, 2 without a label" in told.out
    assert "1 repeated completions left out" in told.out and "7 bad rows skipped" in told.out


def test_a_file_of_another_format_is_refused_with_skipping_too(tmp_path, capsys):
    path = write(tmp_path / "rows.jsonl", [FLAT, FLAT])
    assert cli.main(["prm800k", str(path), "--skip-bad-rows"]) == 2
    assert "all 2 rows are bad, is it another format? " in capsys.readouterr().err
    assert cli.main(["prm800k", str(write(path, []))]) == 2
    assert capsys.readouterr().err == f"cli.py: {path}: holds no rows\n"


def test_a_step_that_contains_the_tag_is_a_bad_row(tmp_path, capsys):
    path = write(tmp_path / "rows.jsonl", [PRM800K])
    assert cli.main(["prm800k", str(path), "--openr", "-t", "first"]) == 2
    assert "line 1: step 1: contains the step tag 'first'; choose another --step-tag" in capsys.readouterr().err


def test_lone_surrogates_survive(tmp_path):
    row = PRM800K | {"question": {"problem": "odd \ud800 text"}}
    assert convert(tmp_path, "prm800k", [row])[0]["question"] == "odd \ud800 text"


def test_a_full_disk_is_one_line(tmp_path):
    """A limit on the size of files fails as a full disk does, in the middle of the output."""
    path = write(tmp_path / "rows.jsonl", [PRM800K] * 500)
    done = call(
        "prm800k", path, script=CLI, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"cli.py: {tmp_path / 'rows.new.jsonl'}: cannot be written: File too large\n"
    assert [p.name for p in tmp_path.iterdir()] == ["rows.jsonl"]


def test_memory_does_not_grow_with_the_file(tmp_path):
    """20 MB as JSONL and as one JSON list, in the interpreter's own memory and a few rows."""
    code = (
        "import sys; from data.preprocess import cli; status = cli.main(sys.argv[1:]);"
        "print(open('/proc/self/status').read()); sys.exit(status)"
    )
    for name, as_list in (("rows.jsonl", False), ("rows.json", True)):
        done = python(code, "prm800k", write(tmp_path / name, [PRM800K] * 14_000, as_list))
        assert done.returncode == 0, done.stderr
        assert int(done.stdout.split("VmHWM:")[1].split()[0]) < 40_000  # KiB


def test_the_commands_import_nothing_heavy():
    done = python(
        "import sys, data.preprocess.cli, data.preprocess.stats;"
        "print({'torch', 'transformers', 'vllm', 'numpy', 'aiohttp'} & set(sys.modules))"
    )
    assert done.stdout.strip() == "set()"


def test_run_as_scripts(tmp_path):
    path = write(tmp_path / "rows.jsonl", [PRM800K])
    assert call("prm800k", path, script=CLI).returncode == 0
    done = call(tmp_path / "rows.new.jsonl", module="data.preprocess.stats")
    assert (done.returncode, done.stdout.splitlines()[0].split()) == (0, ["solutions", "5"])
