"""Search, process rewards and reinforcement learning for LLM reasoning."""

__version__ = "0.1.0"
