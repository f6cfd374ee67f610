"""The recipes: each is read by the command it is for, and names options that its method has a use for."""

from __future__ import annotations

import pytest
import yaml

from reason.evaluation.arguments import check, parser
from tests.cli import call, folder_of, records_of
from tests.fakes import ROOT

RECIPES = sorted((ROOT / "scripts/recipes").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_short_and_every_line_of_it_is_used(recipe, capsys) -> None:
    args = parser().parse_args(["--config", str(recipe)])
    said = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    assert {name: getattr(args, name) for name in said} == said
    assert len(said) <= 8 and f"--config scripts/recipes/{recipe.name}" in recipe.read_text(encoding="utf-8")
    check(args)
    assert capsys.readouterr().err == ""


def test_there_are_five() -> None:
    assert len(RECIPES) == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["beam_search", "rebase_by_the_oracle"])
def test_a_recipe_runs_without_services(tmp_path, name) -> None:
    done = call("--config", f"scripts/recipes/{name}.yaml", "--limit", 4, "--save_dir", tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(records_of(folder_of(done))) == 4
