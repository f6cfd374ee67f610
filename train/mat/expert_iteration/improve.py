"""Expert iteration: search with the policy, keep what the grader verified, fine-tune on it, again.

`python -m train.mat.expert_iteration.improve`, which self_improve.sh calls with its variables. Each round serves the
policy, measures it greedily on held-out questions, and searches on questions that it has not seen; the solutions that
the grader verified are collected (collect.py) and learnt (sft.py). What is finished is not done again, so the same
command goes on. Arguments after `--` are those of the search (evaluate.py).

    SAVE_DIR/settings.txt              what the training is of; another one is refused
    SAVE_DIR/round_R/held_out, search  runs of evaluate.py
    SAVE_DIR/round_R/solutions.jsonl   what was collected
    SAVE_DIR/policy_R                  the policy after R rounds

Exit status: 0; 2 for bad input; 1 when services did not get ready; that of a part that ended otherwise.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from reason.common.command import Parser, run_command
from reason.common.errors import UserError
from reason.common.options import add_options, build, check, given_options, option
from reason.common.processes import run_to_end
from reason.llm_service.serve import ServeOptions, options_of_environment, serving

PROG = "improve"
ALLOWED_ERRORS = "0.02"  # share of the questions of a run that may fail
WITHOUT_WIDTH = ("best_of_n", "adaptive_best_of_n", "cot")
NOT_SETTINGS = ("num_worker", "save_dir")  # which may differ when a training goes on
EMBEDDED = "reason/llm_service/models"


@dataclass(frozen=True)
class ImproveOptions:
    """What is trained, on what, and how."""

    task_name: str = option("arithmetic", "a folder of envs/", metavar="TASK")
    dataset_path: str = option("", "JSONL with problem (or question) and answer; empty: the task's split train",
                               metavar="FILE")  # fmt: skip
    eval_dataset_path: str = option("", "held-out questions; empty: the task's split dev", metavar="FILE")
    level: str = option("", "of the task's own questions; empty: its default", metavar="LEVEL")
    model_name_or_path: str = option(f"{EMBEDDED}/openr-tiny-policy", "the policy to start from", metavar="PATH")
    prm_name_or_path: str = option(
        f"{EMBEDDED}/openr-tiny-prm", "or oracle; empty for best_of_n and cot", metavar="PATH"
    )
    iterations: int = option(2, "rounds", metavar="N", least=1)
    questions: int = option(1000, "that a round searches on", metavar="N", least=1)
    eval_limit: int = option(500, "held-out questions", metavar="N", least=1)
    method: str = option("beam_search", "of the search; best_of_n is rejection sampling", metavar="NAME")
    num_sequence: int = option(4, "beams kept, solutions of best_of_n, paths of MCTS", metavar="N", least=1)
    tree_max_width: int = option(4, "steps drawn from each", metavar="M", least=1)
    max_solutions: int = option(4, "different ones of a question that are learnt", metavar="N", least=1)
    start_from: str = option(
        "first", "what a round fine-tunes: the first policy on all rounds' solutions (STaR), or the last (ReST)",
        choices=("first", "last"),
    )  # fmt: skip
    lr: float = option(1e-4, "of billions of weights rather 1e-5", metavar="X", above=0)
    num_train_epochs: int = option(2, "of a round's fine-tuning", metavar="N", least=1)
    total_batch_size: int = option(64, "solutions of an update", metavar="N", least=1)
    lora_r: int | None = option(
        None, "rank of an adapter, merged at the end; default: all weights", metavar="R", least=1
    )
    seed: int = option(0, "of the run", metavar="N")
    num_worker: int = option(64, "questions in flight", metavar="N", least=1)
    save_dir: str = option("results/self_improve", "of everything that is made", metavar="DIR")

    def __post_init__(self) -> None:
        check(self)

    @property
    def scorer(self) -> str:
        """The reward model by the name that the search uses; empty without one."""
        if self.method == "cot" or not self.prm_name_or_path:
            return ""
        return self.prm_name_or_path if self.is_oracle else Path(self.prm_name_or_path).name

    @property
    def is_oracle(self) -> bool:
        """Whether the task's oracle scores, so that no reward model is served."""
        return self.prm_name_or_path.startswith("oracle")


class PartFailed(Exception):
    """A command of a round did not come to its end; `status` is its exit status."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


@dataclass
class Improvement:
    """A training by expert iteration."""

    options: ImproveOptions
    of_search: list[str]  # further arguments of the search

    def run(self) -> str:
        """All rounds; returns the last policy's folder. Raises UserError, RunError, PartFailed."""
        options, folder = self.options, Path(self.options.save_dir)
        self.check_settings()
        policy = options.model_name_or_path
        measured, searched = list[str](), list[str]()
        for number in range(options.iterations + 1):
            here, last = folder / f"round_{number}", number == options.iterations
            with served(policy, options) as start:
                print(f"==> round {number}: {policy} on held-out questions", flush=True)
                measured.append(self.evaluate(policy, start, here / "held_out", *self.words_of_measuring()))
                if last:
                    break
                print(f"==> round {number}: {options.method} on training questions", flush=True)
                found = self.evaluate(policy, start, here / "search", *self.words_of_search(number))
            searched = [*searched, found] if options.start_from == "first" else [found]
            self.collect(number, searched, here / "solutions.jsonl")
            begin = options.model_name_or_path if options.start_from == "first" else policy
            policy = str(folder / f"policy_{number + 1}")
            self.finetune(number, begin, here / "solutions.jsonl", Path(policy))
        print("\nGreedy accuracy before and after each round, on the same held-out questions:\n", flush=True)
        self.python("reason.evaluation.compare", *measured)
        return policy

    def check_settings(self) -> None:
        """What is finished is not looked into again, so the folder must be of the same settings. Raises UserError."""
        named = [
            f"{f.name}={getattr(self.options, f.name)}" for f in fields(self.options) if f.name not in NOT_SETTINGS
        ]
        settings = "\n".join([*named, *self.of_search]) + "\n"
        file = Path(self.options.save_dir) / "settings.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.is_file():
            file.write_text(settings, encoding="utf-8")
        if file.read_text(encoding="utf-8") != settings:
            raise UserError(f"{file.parent} holds a training with other settings ({file}): set save_dir")

    def words_of_measuring(self) -> list[str]:
        """Arguments of the greedy runs on held-out questions."""
        return ["--method", "cot", "--limit", str(self.options.eval_limit),
                *self.problems(self.options.eval_dataset_path, "dev")]  # fmt: skip

    def words_of_search(self, number: int) -> list[str]:
        """Arguments of a round's search, each on its own share of the training questions."""
        options = self.options
        words = ["--method", options.method, "--limit", str(options.questions * options.iterations)]
        words += ["--num_shards", str(options.iterations), "--shard", str(number)]
        words += ["--RM", options.scorer] if options.scorer else []
        words += ["--tree_max_width", str(options.tree_max_width)] if options.method not in WITHOUT_WIDTH else []
        words += ["--num_sequence", str(options.num_sequence)] if options.method != "cot" else []
        return [*words, *self.problems(options.dataset_path, "train"), *self.of_search]

    def problems(self, file: str, split: str) -> list[str]:
        """Arguments for the questions of a file, or of a split of the task."""
        level = ["--level", self.options.level] if self.options.level else []
        return ["--data_path", file] if file else ["--split", split, *level]

    def evaluate(self, policy: str, start: Callable[[], str], where: Path, *words: str) -> str:
        """One run below `where`, or what is left of it; returns its folder. `start` serves, where there is something
        to do, and returns the controller's address."""
        runs = where / self.options.task_name
        if not (where / "done").is_file():
            controller = start()
            begun = next(iter(sorted(runs.glob("*/*/"))), None)
            resumed = [] if begun is None else ["--resume_dir", str(begun)]
            self.python(
                "reason.evaluation.evaluate", "--LM", Path(policy).name, "--task_name", self.options.task_name,
                "--seed", str(self.options.seed), "--num_worker", str(self.options.num_worker),
                "--controller_addr", controller, "--save_dir", str(where), "--allow_errors", ALLOWED_ERRORS,
                *words, *resumed,
            )  # fmt: skip
            (where / "done").touch()
        return str(next(iter(sorted(runs.glob("*/*/")))))

    def collect(self, number: int, runs: Sequence[str], file: Path) -> None:
        """The verified solutions of the runs."""
        if file.is_file():
            return
        print(f"==> round {number}: solutions that the grader verified", flush=True)
        held_out = self.options.eval_dataset_path
        self.python(
            "train.mat.expert_iteration.collect", *runs, "--out", str(file), "--seed", str(self.options.seed),
            "--max_solutions", str(self.options.max_solutions),
            *(["--eval_dataset_path", held_out] if held_out else []),
        )  # fmt: skip

    def finetune(self, number: int, policy: str, data: Path, folder: Path) -> None:
        """The next policy. Its card is what is written last."""
        if (folder / "model_card.yaml").is_file():
            return
        print(f"==> round {number}: fine-tuning of {policy}", flush=True)
        options, lora_r = self.options, self.options.lora_r
        resumed = ["--resume"] if list(folder.glob("checkpoint-*")) else []
        self.python(
            "train.mat.expert_iteration.sft", "--model_path", policy, "--data", str(data), "--output_dir", str(folder),
            "--learning_rate", str(options.lr), "--num_train_epochs", str(options.num_train_epochs),
            "--total_batch_size", str(options.total_batch_size), "--seed", str(options.seed),
            *(["--lora_r", str(lora_r)] if lora_r else []), *resumed,
        )  # fmt: skip
        for checkpoint in folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)

    def python(self, module: str, *words: str) -> None:
        """A module run to its end. Raises PartFailed."""
        status = run_to_end([sys.executable, "-m", module, *words])
        if status:
            raise PartFailed(status)


@contextmanager
def served(policy: str, options: ImproveOptions) -> Iterator[Callable[[], str]]:
    """Yields what serves the policy and the reward model when it is first called, and returns the controller's address.

    The services are stopped at the end of the block. Engine, number of workers and ports are those of serve.py's
    environment variables, on ports that other services do not have by default.
    """
    with ExitStack() as stack:
        addresses: list[str] = []

        def start() -> str:
            if not addresses:
                addresses.append(stack.enter_context(serving(serve_options(policy, options))))
            return addresses[0]

        yield start


def serve_options(policy: str, options: ImproveOptions) -> ServeOptions:
    """How a round's models are served."""
    ports = {"controller_port": 28797, "worker_base_port": 30210}
    port = options_of_environment(ports).controller_port
    defaults = {**ports, "engine": "transformers", "session": f"openr-improve-{port}",
                "logdir": f"logs_self_improve/{port}"}  # fmt: skip
    reward = {"value_model_name": options.prm_name_or_path}
    if not options.prm_name_or_path or options.is_oracle:
        reward = {"num_rm_worker": 0}  # type: ignore[dict-item]
    return options_of_environment(defaults, model_base="", host_addr="127.0.0.1", policy_model_name=policy, **reward)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog=PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(p, ImproveOptions)
    p.add_argument("of_search", nargs="*", metavar="ARGUMENT", help="after --: of the search")
    return p


def act(args: argparse.Namespace) -> int:
    """The whole training."""
    options: ImproveOptions = build(ImproveOptions, given_options(args, ImproveOptions), PROG)
    try:
        policy = Improvement(options, args.of_search).run()
    except PartFailed as failed:
        return failed.status
    print(f"The policy is in {policy}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = parser().parse_args(arguments)
    return run_command(PROG, lambda: act(args))


if __name__ == "__main__":
    sys.exit(main())
