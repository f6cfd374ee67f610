"""The algorithms by name: the one list that flags, help and runs follow from."""

import importlib

from train.mat.trainers.algorithm import Algorithm

PLACES = {  # the name that users type -> module:class; a new algorithm is a file here and a line of this table
    "APPO": "appo:APPO",
    "TPPO": "tppo:TPPO",
    "GRPO": "grpo:GRPO",
    "RLOO": "rloo:RLOO",
}


def _class_of(place: str) -> type[Algorithm]:
    module, _, name = place.partition(":")
    cls: type[Algorithm] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    return cls


ALGORITHMS = {name: _class_of(place) for name, place in PLACES.items()}
