"""How much memory a worker's prefix cache takes: the argument --cache-mb and its default."""

from __future__ import annotations

import argparse

import torch


def cache_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --cache-mb; `what`: which memory it is, and what for."""
    parser.add_argument(
        "--cache-mb", type=megabytes,
        help=f"memory for {what}; 0: none is kept; default 1024, on a GPU a quarter of what the model leaves free, "
        "at most 8192",
    )  # fmt: skip


def megabytes(text: str) -> int:
    """A number of megabytes, 0 or more, from the command line."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number of megabytes, 0 or more, not {text!r}")
    return int(text)


def cache_bytes(args: argparse.Namespace) -> int:
    """Bytes that `args` (cache_mb, device) give the cache, asked once the model is loaded."""
    if args.cache_mb is not None:
        return args.cache_mb << 20
    if torch.device(args.device).type != "cuda":
        return 1 << 30  # taken as it fills
    free, _ = torch.cuda.mem_get_info(args.device)
    return min(free // 4, 8 << 30)
