"""Search, process rewards and reinforcement learning for LLM reasoning."""

from reason.solve import solve, solve_async, unload

__version__ = "0.1.0"
__all__ = ["__version__", "solve", "solve_async", "unload"]
