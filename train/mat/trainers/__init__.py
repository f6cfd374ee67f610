"""The algorithms by name: the one list that flags, help and runs follow from."""

from train.mat.trainers.algorithm import Algorithm
from train.mat.trainers.appo import APPO
from train.mat.trainers.grpo import GRPO
from train.mat.trainers.rloo import RLOO
from train.mat.trainers.tppo import TPPO

ALGORITHMS: dict[str, type[Algorithm]] = {"APPO": APPO, "TPPO": TPPO, "GRPO": GRPO, "RLOO": RLOO}
