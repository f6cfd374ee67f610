"""What is open to taste when answers are compared: documented switches, with one default for the whole project."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """Every field is a decision that graders differ on. The defaults are what a fair human marker would do."""

    drop_units: bool = True  # `15` = `15 cm`; two known units that differ are converted, or refuted
    unreduced_fractions: bool = True  # `2/4` = `1/2`
    ordered_lists: bool = False  # whether `1, 2` differs from `2, 1` (points and tuples are always ordered)
    list_as_set: bool = True  # `1, 2` = `{1, 2}`
    list_as_tuple: bool = True  # `1, 2` = `(1, 2)`, in this order
    column_as_tuple: bool = True  # a matrix with one row or one column = the tuple of its entries
    percent_as_fraction: bool = True  # `25%` = `0.25` as well as `25`; never without a sign
    base_may_be_left_out: bool = True  # `2516` = `2516_8`, where the gold has the base
    base_ten: bool = True  # `1358` = `2516_8`, the same value
    rounding_digits: int = (
        6  # a decimal with so many significant digits = the exact value that it rounds; never integers
    )


DEFAULT = Policy()
