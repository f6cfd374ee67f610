"""Grading processes that may be killed: `pool` starts and watches them, `worker` is what each of them runs."""
