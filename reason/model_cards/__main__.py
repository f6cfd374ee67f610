"""Model cards on the console: `openr cards [show NAME | check FOLDER]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reason.common.command import Parser, run_command
from reason.common.errors import UserError, unknown
from reason.model_cards import card as cards
from reason.model_cards.card import Card, LMCard


def parser() -> Parser:
    """The command line."""
    text = "List the model cards that OpenR knows. A card is data: what differs between model families."
    p = Parser(prog="cards", description=text)
    actions = p.add_subparsers(dest="action", metavar="COMMAND", title="commands; without one, the list")
    show = actions.add_parser("show", help="print a card's file", description="Print a card's file.")
    show.add_argument("name", help="of a card; or a YAML file")
    check = "find and check the card that a model's folder would be served with"
    folder = actions.add_parser("check", help=check, description=f"{check.capitalize()}; its weights are not loaded.")
    folder.add_argument("folder", type=Path)
    return p


def known() -> dict[str, Card]:
    """Every card of this folder, by name. Raises UserError for a broken one."""
    return {path.stem: cards.load(path) for path in sorted(cards.FOLDER.glob("*.yaml"))}


def table() -> str:
    """A line a card: name, kind, what a PRM's scores are read from and mean, its vote, its models."""
    rows = [("card", "kind", "scores", "vote", "models")]
    for name, card in known().items():
        says = ("", "") if isinstance(card, LMCard) else (f"{card.head}, {card.meaning}", card.aggregation)
        hub_ids = [model for model in card.models if "/" in model] or list(card.models)
        more = f" and {len(hub_ids) - 2} more" if len(hub_ids) > 2 else ""
        rows.append((name, card.kind, *says, ", ".join(hub_ids[:2]) + more))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join("  ".join([*map(str.ljust, row[:4], widths), row[4]]).rstrip() for row in rows)


def shown(name: str) -> str:
    """A card's file, which is read first, so that a broken one says so. Raises UserError."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else cards.FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise UserError(unknown("card", name, [file.stem for file in sorted(cards.FOLDER.glob("*.yaml"))]))
    cards.load(path)
    return path.read_text(encoding="utf-8").rstrip()


def checked(folder: Path) -> str:
    """One line on the card that a model's folder is served with. Raises UserError: it has none, or a broken one."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    errors = []
    for kind in ("prm", "lm"):
        try:
            card = cards.find(str(folder.resolve()), kind, flag="")
            return f"{folder}: card {card.name!r}, of {cards.KINDS[card.kind]}"
        except UserError as error:
            errors.append(error)
    raise errors[-1]


def act(args: argparse.Namespace) -> None:
    """Print what was asked for. Raises UserError."""
    if args.action == "show":
        print(shown(args.name))
    elif args.action == "check":
        print(checked(args.folder))
    else:
        print(table())


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = parser().parse_args(arguments)
    return run_command("cards", lambda: act(args))


if __name__ == "__main__":
    sys.exit(main())
