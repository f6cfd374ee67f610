"""Options that are declared once, as the fields of a dataclass: flags, help, checks and defaults follow from it.

    @dataclass(frozen=True)
    class Rebase:
        rebase_temperature: float = option(0.2, "temperature of the softmax over scores", metavar="T_b", above=0)

A field's name is its flag's name, except where OpenR has another one for the flag. `check` is for `__post_init__`.
"""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING
from typing import Any

from reason.common.command import str2bool
from reason.common.errors import UserError, unknown


def option(
    default: Any,
    help: str,
    *,
    metavar: str | None = None,
    choices: Collection[str] | None = None,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    flag: str | None = None,
    usual: str | None = None,
    switch: bool = False,
    reads: Callable[[str], Any] | None = None,
) -> Any:
    """A field with its line of help and its bounds: `least` <= value <= `most`, `above` < value < `below`.

    `flag` is the flag's name where it is not the field's. `usual` says what is taken when the option is not given,
    where that is not `default`. `switch`: the flag of a bool has no value and means True. `reads` makes the value of
    its text, where the type does not. A tuple's flag takes one value or more.
    """
    metadata = {
        "help": help, "metavar": metavar, "choices": choices, "least": least, "above": above, "most": most,
        "below": below, "flag": flag, "usual": usual, "switch": switch, "reads": reads,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


def fields_of(cls: type) -> dict[str, dataclasses.Field[Any]]:
    """The options of a dataclass by name: its fields that were made by `option`."""
    return {field.name: field for field in dataclasses.fields(cls) if "help" in field.metadata}


def flag_of(field: dataclasses.Field[Any]) -> str:
    """The name of an option's flag, and of its place in argparse's namespace."""
    return str(field.metadata["flag"] or field.name)


def add_options(
    parser: argparse._ActionsContainer,
    cls: type,
    skip: Collection[str] = (),
    note: str = "",
    *,
    settled: bool = False,
    changed: Mapping[str, Any] = types.MappingProxyType({}),
) -> None:
    """Add a flag for each option of the dataclass. Its default is None, which means: not given.

    `note` goes before each line of help, such as "rebase: ". With `settled` the parser's defaults are the options' own.
    `changed` holds the defaults of this command that are others than the dataclass's; a required option has none.
    """
    types_of = typing.get_type_hints(cls)
    for name, field in fields_of(cls).items():
        if name in skip:
            continue
        said, default = field.metadata, changed.get(name, field.default)
        kind, many = _plain(types_of[name]), _is_tuple(types_of[name])
        usual = None if default is MISSING else list(default) if many and default is not None else default
        text = said["help"]
        if said["usual"]:
            text += f"; default: {said['usual']}"
        elif usual is not None and not said["switch"] and usual not in ("", []):
            text += f"; default {' '.join(map(str, usual)) if isinstance(usual, list) else usual}"
        options: dict[str, Any] = {
            "default": usual if settled else None,
            "help": f"{note}{text}".replace("%", "%%"),
            "required": settled and default is MISSING,
        }
        if said["switch"]:
            parser.add_argument(f"--{flag_of(field)}", action="store_true", **options)
            continue
        choices = ["True", "False"] if kind is bool else said["choices"]
        options["metavar"] = said["metavar"] or ("|".join(choices) if choices else None)
        options["type"] = said["reads"] or (str2bool if kind is bool else kind)
        parser.add_argument(f"--{flag_of(field)}", nargs="+" if many else None, **options)


def given_options(args: argparse.Namespace, cls: type) -> dict[str, Any]:
    """The options of the dataclass that the command line gives, by their fields' names."""
    given = {name: getattr(args, flag_of(field), None) for name, field in fields_of(cls).items()}
    return {name: value for name, value in given.items() if value is not None}


def settled_options(args: argparse.Namespace, cls: type) -> Any:
    """The dataclass, from a command line that has all of its options. Raises UserError, see `check`."""
    values = {name: getattr(args, flag_of(field)) for name, field in fields_of(cls).items()}
    return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def build(cls: type, values: dict[str, Any], what: str) -> Any:
    """`cls(**values)`. Raises UserError for a name that is no option of it, `what` says whose (such as "beam_search"),
    and for a value of another type or out of bounds.
    """
    known = [field.name for field in dataclasses.fields(cls)]
    for name in values:
        if name not in known:
            raise UserError(unknown(f"option of {what}", name, known))
    return cls(**values)


def check(options: Any) -> None:
    """Raise UserError, in one line, for the first field whose value has another type or is out of its bounds."""
    types_of = typing.get_type_hints(type(options))
    for name, field in fields_of(type(options)).items():
        value, said = getattr(options, name), field.metadata
        if value is None and types.NoneType in typing.get_args(types_of[name]):
            continue
        if said["reads"] is not None or _is_tuple(types_of[name]):
            continue
        kind = _plain(types_of[name])
        wanted = {int: "a whole number", float: "a number", bool: "True or False", str: "text"}.get(kind, kind.__name__)
        fits = isinstance(value, kind) or (kind is float and isinstance(value, int))
        if not fits or (isinstance(value, bool) and kind is not bool):
            raise UserError(f"{name} must be {wanted}, not {value!r}")
        if said["choices"] and value not in said["choices"]:
            raise UserError(f"{name} must be {' or '.join(said['choices'])}, not {value!r}")
        if said["least"] is not None and not value >= said["least"]:
            raise UserError(f"{name} must be at least {said['least']}, not {value}")
        if said["above"] is not None and not said["above"] < value < float("inf"):
            raise UserError(f"{name} must be above {said['above']}, not {value}")
        if said["most"] is not None and not value <= said["most"]:
            raise UserError(f"{name} must be at most {said['most']}, not {value}")
        if said["below"] is not None and not value < said["below"]:
            raise UserError(f"{name} must be below {said['below']}, not {value}")


def _plain(hint: Any) -> type:
    """`int` of `int | None`, of `tuple[int, ...]` and of both together."""
    args = [arg for arg in typing.get_args(hint) if arg not in (types.NoneType, Ellipsis)]
    kind: type = _plain(args[0]) if args else hint
    return kind


def _is_tuple(hint: Any) -> bool:
    return tuple in (typing.get_origin(hint), *map(typing.get_origin, typing.get_args(hint)))
