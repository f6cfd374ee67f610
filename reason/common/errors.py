"""The two ways in which a command ends early with one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input. The message is one line: what is wrong, where, and what to do. Exit status 2."""


class RunError(RuntimeError):
    """A run had to stop though its input was right. The message is one line. Exit status 1."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that does not exist: the nearest one first, then all there are."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    meant = f", did you mean {near[0]!r}?" if near else ";"
    return f"no {kind} {name!r}{meant} there are: {', '.join(names) or 'none'}"
