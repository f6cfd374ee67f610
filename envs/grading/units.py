"""Units of measure that answers carry: names, factors to a common unit, and currencies."""

from __future__ import annotations

import re
from fractions import Fraction

# unit -> (dimension, factor to the dimension's first unit)
_TABLE: dict[str, tuple[str, Fraction]] = {}


def _add(dimension: str, factor: str, names: str) -> None:
    for name in names.split():
        _TABLE[name] = (dimension, Fraction(factor))


_add("length", "1", "m meter meters metre metres")
_add("length", "1000", "km kilometer kilometers kilometre kilometres kms")
_add("length", "1/100", "cm centimeter centimeters centimetre centimetres cms")
_add("length", "1/1000", "mm millimeter millimeters millimetre millimetres")
_add("length", "1/10", "dm decimeter decimeters")
_add("length", "254/10000", "in inch inches")
_add("length", "3048/10000", "ft foot feet")
_add("length", "9144/10000", "yd yard yards")
_add("length", "1609344/1000", "mi mile miles")
_add("mass", "1", "g gram grams gm")
_add("mass", "1000", "kg kilogram kilograms kilo kilos kgs")
_add("mass", "1/1000", "mg milligram milligrams")
_add("mass", "45359237/100000", "lb lbs pound pounds")
_add("mass", "28349523125/1000000000", "oz ounce ounces")
_add("mass", "1000000", "ton tons tonne tonnes")
_add("time", "1", "s sec secs second seconds")
_add("time", "60", "min mins minute minutes")
_add("time", "3600", "h hr hrs hour hours")
_add("time", "86400", "day days")
_add("time", "604800", "week weeks")
_add("time", "1/1000", "ms millisecond milliseconds")
_add("year", "1", "year years yr yrs")
_add("year", "1/12", "month months")
_add("volume", "1", "L l liter liters litre litres")
_add("volume", "1/1000", "mL ml milliliter milliliters cc")
_add("volume", "3785411784/1000000000", "gal gallon gallons")
_add("area", "1", "acre acres")
_add("area", "10000/40468564224", "ha hectare hectares")
_add("speed", "1", "mph")
_add("speed", "1000/1609344", "kph kmh")
_add("dollar", "1", "dollar dollars usd")
_add("dollar", "1/100", "cent cents")
_add("euro", "1", "euro euros eur")
_add("pounds sterling", "1", "gbp sterling pence")
_add("yen", "1", "yen jpy yuan rmb cny 元 円")
_add("rupee", "1", "rupee rupees rs inr")
_add("force", "1", "N newton newtons")
_add("energy", "1", "J joule joules")
_add("energy", "1000", "kJ")
_add("power", "1", "W watt watts")
_add("power", "1000", "kW")
_add("voltage", "1", "V volt volts")
_add("frequency", "1", "Hz hertz")
_add("pressure", "1", "Pa")
_add("degree", "1", "degree degrees deg °")
_add("radian", "1", "rad radian radians")
_add("percent", "1", "percent percentage pct %")

_UPPER_ONLY = {"N", "J", "W", "V", "L"}
_VARIABLES = {"m", "s", "g", "h", "l", "N", "J", "W", "V", "L", "in", "a", "rs", "sec", "deg", "min"}  # of one letter, or words
_OTHER = frozenset(
    "units unit people persons students apples ways points square squared sq cubic cubed per times miles digits sides"
    " items pages books balls cards dollars sec km/h mi/h m/s ft/s cm² m²".split()
)
_POWERS = {"squared": 2, "square": 2, "sq": 2, "cubic": 3, "cubed": 3, "cu": 3}


def is_unit(word: str) -> bool:
    """Whether a run of at least two plain letters is a unit rather than a product of variables."""
    return len(word) > 1 and (word in _TABLE or word.lower() in _TABLE or word in _OTHER) and word not in ("in",)


def is_unit_symbol(letters: str) -> bool:
    """Whether letters that were read as symbols may be a unit after a plain number, as in `3s`."""
    return letters in ("m", "s", "g", "h", "L") or (len(letters) > 1 and letters in _TABLE)


Dimension = tuple[Fraction, tuple[tuple[str, int], ...]]


def dimension(unit: str) -> Dimension | None:
    """(factor, ((dimension, power), ...)) of a unit's text such as `cm^2` or `kilometers per hour`; None if unknown."""
    text = re.sub(r"[{}()\\]|\btext\b|\bmathrm\b", "", unit).replace("·", " ").replace("cdot", " ").replace("*", " ").strip().rstrip(".")
    factor, powers = Fraction(1), {}
    sign, pending = 1, 1
    last: tuple[str, int, Fraction] | None = None
    for part in re.findall(r"[A-Za-z°%元円]+|\^ ?-?\d+|/|²|³", text):
        if part in ("/", "per", "a", "an") and (part in ("/", "per")):
            sign = -1
        elif part in ("an", "a", "of", "each", "every"):
            continue
        elif part in ("squared", "cubed", "²", "³") or part.startswith("^"):
            if last is None:
                return None
            exponent = {"squared": 2, "cubed": 3, "²": 2, "³": 3}.get(part) or int(part[1:])
            if not 0 < abs(exponent) < 10:
                return None
            powers[last[0]] += last[1] * (exponent - 1)
            factor *= last[2] ** (last[1] * (exponent - 1))
        elif part in _POWERS:
            pending = _POWERS[part]
        else:
            found = _TABLE.get(part) or _TABLE.get(part.lower())
            if found is None:
                return None
            powers[found[0]] = powers.get(found[0], 0) + sign * pending
            factor *= found[1] ** (sign * pending)
            last, pending = (found[0], sign, found[1]), 1
    if last is None:
        return None
    return factor, tuple(sorted((name, power) for name, power in powers.items() if power))


CURRENCIES = {"dollar": "dollar", "euro": "euro", "pounds": "pounds sterling", "yen": "yen"}
