"""How a training command speaks and ends: one process prints, and what fails is one line and an exit status.

Imports neither torch nor transformers, so that arguments are parsed and refused at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

from reason.common.errors import RunError, UserError


def exit_status(
    prog: str,
    train: Callable[[argparse.Namespace], None],
    args: argparse.Namespace,
    tell: Callable[[OSError], object] = str,
) -> int:
    """Train; 0, or 2 after a line on what is wrong, or 130 after an interrupt. `tell` words what the system refuses.

    `args.output_dir` holds the checkpoints that --resume goes on from. Any other exception is a fault of ours: raised.
    """
    try:
        train(args)
    except UserError as error:
        return _failed(prog, error)
    except OSError as error:
        return _failed(prog, tell(error))
    except KeyboardInterrupt:
        say(f"{prog}: interrupted; --resume goes on from the last checkpoint in {args.output_dir}", sys.stderr)
        return 130
    except _of_data_and_training() as error:  # evaluated only here: what it imports, `train` had to import anyway
        return _failed(prog, error)
    return 0


def main_process() -> bool:
    """Whether this is the first process of a torchrun, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def say(message: str, file: Any = None) -> None:
    """Print in one process alone."""
    if main_process():
        print(message, file=file or sys.stdout, flush=True)


def _of_data_and_training() -> tuple[type[Exception], ...]:

    return UserError, UserError, UserError, RunError


def _failed(prog: str, message: object) -> int:
    say(f"{prog}: {' '.join(str(message).split())}", sys.stderr)
    return 2
