"""The frame of a command: options from a file, one line for a mistake, one rule of exit statuses."""

import asyncio
import os
import subprocess
import sys

import pytest

from reason.common.command import Parser, positive, run_command
from reason.common.errors import RunError, UserError, unknown
from tests.fakes import ROOT


def parser():
    p = Parser(prog="x.py")
    p.add_argument("--LM", required=True)
    p.add_argument("runs", nargs="*")
    p.add_argument("--budget", type=positive, default=4)
    p.add_argument("--local", action="store_true")
    p.add_argument("--levels", nargs="+")
    return p


def written(tmp_path, text):
    path = tmp_path / "options.yaml"
    path.write_text(text)
    return str(path)


def test_a_file_gives_options_and_a_flag_wins(tmp_path):
    path = written(tmp_path, "LM: a\nbudget: 16\nlocal: true\nruns: [r, s]\nlevels: [1, 2]\n")
    args = parser().parse_args(["--config", path, "--budget", "8"])
    assert (args.LM, args.budget, args.local, args.runs, args.levels) == ("a", 8, True, ["r", "s"], ["1", "2"])


def test_what_print_config_writes_is_read_again(tmp_path, capsys):
    given = ["--LM", "true", "r", "--local", "--levels", "a: b", "2"]
    with pytest.raises(SystemExit) as end:
        parser().parse_args([*given, "--print_config"])
    assert end.value.code == 0
    path = written(tmp_path, capsys.readouterr().out)
    assert vars(parser().parse_args(["--config", path])) == vars(parser().parse_args(given))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bugdet: 16", "no option 'bugdet', did you mean 'budget'?"),
        ("budget: many", "argument --budget: must be an integer of at least 1, not 'many'"),
        ("budget: [1, 2]", "budget: one value is needed"),
        ("local: 3", "local: true or false is needed"),
        ("- a", "a mapping of options is needed"),
        ("a: [", "not YAML"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(tmp_path, capsys, text, message):
    with pytest.raises(SystemExit) as end:
        parser().parse_args(["--config", written(tmp_path, text), "--LM", "a"])
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert message in said and "options.yaml: " in said and said.count("\n") == 1


def test_a_mistake_on_the_command_line_is_not_blamed_on_the_file(tmp_path, capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["--config", written(tmp_path, "LM: a"), "--budget", "0"])
    assert "options.yaml" not in capsys.readouterr().err


def test_a_file_that_is_not_there(capsys):
    with pytest.raises(SystemExit) as end:
        parser().parse_args(["--config", "nowhere.yaml"])
    assert end.value.code == 2
    assert (
        capsys.readouterr().err
        == "x.py: nowhere.yaml: --config: cannot be read: No such file or directory (see --help)\n"
    )


def raises(error):
    def act():
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("a\n b"), 2, "x.py: a b\n"),
        (RunError("no"), 1, "x.py: no\n"),
        (KeyboardInterrupt(), 130, ""),
        (OSError(28, "No space left on device"), 2, "x.py: No space left on device\n"),
        (FileNotFoundError(2, "No such file or directory", "f"), 2, "x.py: No such file or directory: f\n"),
        (ModuleNotFoundError("no", name="wandb"), 2, "x.py: wandb is needed: pip install it\n"),
    ],
)
def test_exit_statuses(capsys, error, status, line):
    assert run_command("x.py", raises(error)) == status
    assert capsys.readouterr().err == line


def test_an_unforeseen_error_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_command("x.py", lambda: 1 // 0)


def test_a_coroutine_function_gets_an_event_loop():
    async def act():
        await asyncio.sleep(0)
        return 3

    assert run_command("x.py", act) == 3


def test_sigterm_runs_finally_blocks():
    code = """
import asyncio, os, signal, sys
from reason.common.command import run_command
async def act():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)
    finally:
        print("cleaned", flush=True)
sys.exit(run_command("x.py", act))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (143, "cleaned\n", "")


def test_a_reader_that_is_gone_is_no_error():
    code = """
import sys
from reason.common.command import run_command
def act():
    for _ in range(100_000): print("a line")
sys.exit(run_command("x.py", act))
"""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_the_nearest_name_is_suggested():
    assert unknown("method", "beam", ["best_of_n", "beam_search"]).startswith(
        "no method 'beam', did you mean 'beam_search'?"
    )
