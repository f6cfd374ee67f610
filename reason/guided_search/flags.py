"""The flags of search methods, as they follow from the methods' own classes."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import Any

from reason.common.options import add_options, fields_of, flag_of
from reason.guided_search import METHODS, methods_with
from reason.guided_search.options import SearchOptions


def add_search_flags(p: argparse.ArgumentParser, skip: Collection[str] = ()) -> None:
    """A group of flags for what all methods share, without `skip`, and one for each set of methods with options of
    their own. What is not given is None.
    """
    add_options(p.add_argument_group("search"), SearchOptions, skip=skip)
    for methods in dict.fromkeys(tuple(methods_with(name)) for name in own_options()):
        first = METHODS[methods[0]]
        group = p.add_argument_group(" and ".join(methods))
        add_options(group, first, skip=[name for name in fields_of(first) if tuple(methods_with(name)) != methods])


def own_options() -> dict[str, Any]:
    """The options that single methods have, by name, with their defaults."""
    return {name: field.default for method in METHODS.values() for name, field in fields_of(method).items()}


def given_flags(args: argparse.Namespace) -> dict[str, Any]:
    """The search options that the command line gives, whichever method they are of, by their flags' names."""
    classes: list[type] = [SearchOptions, *METHODS.values()]
    fields = [field for cls in classes for field in fields_of(cls).values()]
    given = {flag_of(field): getattr(args, flag_of(field), None) for field in fields}
    return {flag: value for flag, value in given.items() if value is not None}
