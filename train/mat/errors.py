"""What ends a run."""


class TrainingError(RuntimeError):
    """Training cannot go on; one line that says where and why."""
