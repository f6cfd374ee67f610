"""Serve a policy and a reward model: FastChat's controller, LM workers and reward workers.

`python -m reason.llm_service.serve` starts them, waits until they answer, and leaves them running; --stop ends them.
With a command after `--` they serve while it runs, and are stopped whichever way it ends:

    python -m reason.llm_service.serve -- sh scripts/eval/cot_greedy.sh --limit 10

Each option is also read from the environment by its name in capitals (CONTROLLER_PORT=28778); a flag wins.

The services are windows of a tmux session, background processes where there is no tmux. Each has a log and a pid file
in the log folder. Without a GPU each worker gets an even share of the cores.

Exit status: 0; 2 for what must be mended first, before anything is started; 1 when the services did not get ready;
that of the command.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shlex
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from reason.common.addresses import http_address
from reason.common.command import Parser, run_command
from reason.common.errors import UserError
from reason.common.options import add_options, build, check, fields_of, given_options, option
from reason.common.processes import ended_by_signals, held, run_to_end, undisturbed
from reason.llm_service import services
from reason.llm_service.layout import cores_of_worker, count_gpus, gpus_of_workers, share_of_gpu
from reason.llm_service.wait_ready import wait

PROG = "serve"
ROOT = Path(__file__).resolve().parents[2]
EMBEDDED = Path(__file__).resolve().parent / "models"
STOP_SCRIPT = Path("reason/llm_service/stop_service.sh")
NEEDED = ("fastchat", "torch", "transformers", "uvicorn")
OF_STOP = ("session", "logdir", "grace_seconds")  # the options that --stop looks at
HEART_BEATS = {  # seconds; a worker that died leaves the controller's list within the second
    "FASTCHAT_WORKER_HEART_BEAT_INTERVAL": "10",
    "FASTCHAT_CONTROLLER_HEART_BEAT_EXPIRATION": "30",
}
# FastChat's controller asks the workers for their state and nobody else. LOGDIR is its variable too: empty, it writes
# no file of its own.
OF_CONTROLLER = {"LOGDIR": "", "NO_PROXY": "*", "no_proxy": "*"}


@dataclass(frozen=True)
class ServeOptions:
    """What is served, where, and by which engine."""

    policy_model_name: str = option(
        "openr-tiny-policy", "the policy: a folder's name below --model_base", metavar="NAME"
    )
    value_model_name: str = option("openr-tiny-prm", "the reward model, likewise", metavar="NAME")
    model_base: str = option("", "folder with the models; empty: the names are folders, ids of the hub, or embedded "
                             "models", metavar="DIR")  # fmt: skip
    engine: str = option("auto", "of the policy; auto: vLLM where it is installed and the machine can run it",
                         choices=("vllm", "transformers", "auto"))  # fmt: skip
    num_lm_worker: int = option(1, "workers of the policy", metavar="N", least=0)
    num_rm_worker: int = option(1, "workers of the reward model; 0: none is served", metavar="N", least=0)
    lm_gpus: str = option("", "GPUs of the policy's workers, a word a worker: '0 1', or '0,1 2,3' for two GPUs each; "
                          "empty: one GPU each, as far as they go", metavar="GPUS")  # fmt: skip
    rm_gpus: str = option("", "GPUs of the reward model's workers, likewise", metavar="GPUS")
    cuda_device_base: int = option(0, "first GPU, where --lm_gpus and --rm_gpus are empty", metavar="N", least=0)
    gpu_memory_utilization: float | None = option(
        None, "share of a GPU's memory of a vLLM worker; default: 0.9 for all of the GPU", above=0, most=1, metavar="X"
    )
    max_cores: int = option(
        0, "cores that a worker takes at most, without a GPU; 0: its whole share", metavar="N", least=0
    )
    lm_args: str = option("", "further arguments of the policy's workers", metavar="'ARGUMENTS'")
    rm_args: str = option("", "further arguments of the reward model's workers", metavar="'ARGUMENTS'")
    host_addr: str = option(
        "127.0.0.1", "where everything listens; 0.0.0.0: reachable from other machines", metavar="HOST"
    )
    controller_port: int = option(28777, "of the controller", metavar="PORT", least=1, most=65535)
    worker_base_port: int = option(30010, "of the first worker; the policy's workers come first", metavar="PORT",
                                   least=1, most=65535)  # fmt: skip
    session: str = option("FastChat", "of tmux", metavar="NAME")
    logdir: str = option("logs_fastchat", "folder of logs and pid files", metavar="DIR")
    ready_seconds: float = option(1800.0, "that the services may take until they answer", metavar="S", above=0)
    grace_seconds: float = option(
        15.0, "until a process that ignores the request to stop is killed", metavar="S", least=0
    )

    def __post_init__(self) -> None:
        check(self)
        if not self.session or set(self.session) & set(":."):
            raise UserError(f"SESSION cannot be {self.session!r}: a tmux session's name has no ':' and no '.'")
        if not self.num_lm_worker + self.num_rm_worker:
            raise UserError("NUM_LM_WORKER and NUM_RM_WORKER are both 0: nothing would be served")

    @property
    def controller(self) -> str:
        """The controller's address."""
        return http_address(self.host_addr, self.controller_port)

    @property
    def models(self) -> dict[str, str]:
        """Folder or hub id of each served model, by the variable that names it."""
        named = {"POLICY_MODEL_NAME": (self.policy_model_name, self.num_lm_worker),
                 "VALUE_MODEL_NAME": (self.value_model_name, self.num_rm_worker)}  # fmt: skip
        return {variable: self._path(name) for variable, (name, number) in named.items() if number}

    def _path(self, name: str) -> str:
        if self.model_base and name:
            return str(Path(self.model_base) / name)
        return str(EMBEDDED / name) if name and (EMBEDDED / name).is_dir() else name


@dataclass(frozen=True)
class Service:
    """A process to be started."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]


# The checks; nothing is started before all of them pass.


def checked(options: ServeOptions) -> ServeOptions:
    """The options with the engine decided. Raises UserError for what must be mended first."""
    missing = [module for module in NEEDED if find_spec(module) is None]
    if missing:
        raise UserError(f"{sys.executable} lacks {' and '.join(missing)}: sh scripts/setup_env.sh installs them")
    for variable, path in options.models.items():
        if not path:
            raise UserError(f"{variable} is empty: it names a model")
        if options.model_base and not Path(path).is_dir():
            name = path.removeprefix(options.model_base.rstrip("/") + "/")
            raise UserError(
                f"no model at {path} ({variable}): set MODEL_BASE to the folder of {name}, or empty to take it from "
                "the hub"
            )
    return replace(options, engine=chosen_engine(options.engine))


def chosen_engine(wanted: str) -> str:
    """vllm or transformers. Raises UserError where vllm is asked for and not installed."""
    installed = find_spec("vllm") is not None
    if wanted == "vllm" and not installed:
        raise UserError(f"ENGINE=vllm, but {sys.executable} has no vllm: install it or set ENGINE=transformers")
    if wanted != "auto":
        return wanted
    if not installed:
        print("vLLM is not installed: the LM is served with transformers")
        return "transformers"
    cpuinfo = Path("/proc/cpuinfo")
    if not count_gpus() and not (cpuinfo.is_file() and "avx512f" in cpuinfo.read_text()):
        print("vLLM needs a GPU or a CPU with AVX-512: the LM is served with transformers")
        return "transformers"
    return "vllm"


def check_places(options: ServeOptions) -> None:
    """Raises UserError unless the log folder, the session and the ports are free."""
    if services.running(Path(options.logdir)):
        raise UserError(f"services of {options.logdir} are running: stop them ({stop_command(options)}), or set LOGDIR")
    if services.has_session(options.session):
        raise UserError(f"the tmux session {options.session} exists: stop_service.sh ends it, or set SESSION")
    workers = options.num_lm_worker + options.num_rm_worker
    ports = [("CONTROLLER_PORT", options.controller_port)]
    for variable, port in ports + [("WORKER_BASE_PORT", options.worker_base_port + i) for i in range(workers)]:
        if not is_free(options.host_addr, port):
            raise UserError(
                f"port {port} of {options.host_addr} is taken or cannot be used: stop_service.sh ends our services, "
                f"or set {variable}"
            )


def is_free(host: str, port: int) -> bool:
    """Whether a service can listen there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError):
            return False
    return True


@contextlib.contextmanager
def alone(logdir: Path) -> Iterator[None]:
    """Inside, no other start can use the log folder. Raises UserError where one does."""
    logdir.mkdir(parents=True, exist_ok=True)
    folder = os.open(logdir, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(
            f"another start with the log folder {logdir} is under way: wait for it, or set LOGDIR"
        ) from None
    finally:
        os.close(folder)


# What is started.


def services_of(options: ServeOptions) -> list[Service]:
    """The controller, the LM workers and the reward workers, in the order in which they start."""
    host, port = options.host_addr, options.controller_port
    command = [sys.executable, "-m", "fastchat.serve.controller", "--host", host, "--port", str(port)]
    controller = [*command, "--dispatch-method", "shortest_queue"]
    beats = {name: os.environ.get(name) or seconds for name, seconds in HEART_BEATS.items()}
    started = [Service("controller", tuple(controller), {**beats, **OF_CONTROLLER, "PYTHONUNBUFFERED": "1"})]

    gpus = count_gpus()
    numbers = (options.num_lm_worker, options.num_rm_worker)
    words = (options.lm_gpus.split(), options.rm_gpus.split())
    placed = gpus_of_workers(words, numbers, options.cuda_device_base, gpus) if gpus else [[""] * n for n in numbers]
    everywhere = placed[0] + placed[1]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    for number, gpu in enumerate(everywhere):
        is_lm = number < options.num_lm_worker
        vllm = is_lm and options.engine == "vllm"
        module = "vllm_worker" if vllm else "model_worker" if is_lm else "reward_model_worker"
        model = options.models["POLICY_MODEL_NAME" if is_lm else "VALUE_MODEL_NAME"]
        words_of_worker = [
            sys.executable, "-m", f"reason.llm_service.workers.{module}", "--host", host,
            "--port", str(options.worker_base_port + number), "--controller-address", options.controller,
            "--model-path", model,
        ]  # fmt: skip
        if vllm and gpus:
            share = options.gpu_memory_utilization or share_of_gpu(gpu, everywhere)
            words_of_worker += ["--gpu-memory-utilization", f"{share:g}", "--num-gpus", str(len(gpu.split(",")))]
        words_of_worker += shlex.split(options.lm_args if is_lm else options.rm_args)
        environment = {**beats, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        else:
            cores = cores_of_worker(number, len(everywhere), options.max_cores)
            words_of_worker, of_cores = bound_to(cores, words_of_worker, vllm)
            environment |= of_cores
        name = f"policy_worker_{number}" if is_lm else f"value_worker_{number - options.num_lm_worker}"
        started.append(Service(name, tuple(words_of_worker), environment))
    return started


def bound_to(cores: Sequence[int], command: list[str], vllm: bool) -> tuple[list[str], dict[str, str]]:
    """A worker's command that stays on its cores, and what its environment says of them."""
    listed = ",".join(map(str, cores))
    if vllm:  # binds its threads itself
        given = os.environ.get("VLLM_CPU_OMP_THREADS_BIND") or listed
        return command, {"VLLM_CPU_OMP_THREADS_BIND": given} if given else {}
    threads = max(1, len(cores))
    if threads > 1 and shutil.which("taskset"):
        command = ["taskset", "-c", listed, *command]
    return command, {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(threads)}


def start(options: ServeOptions) -> None:
    """Start the services and return when they answer. What was started is stopped where that does not come to pass.

    Raises UserError before anything is started, RunError after that.
    """
    options = checked(options)
    logdir = Path(options.logdir).absolute()
    tmux = shutil.which("tmux") is not None
    with alone(logdir):
        check_places(options)
        for file in logdir.glob("*.pid"):
            file.unlink()
        names = [Path(path).name for path in options.models.values()]
        place = f"in the tmux session {options.session} (tmux attach -t {shlex.quote(options.session)})"
        place = place if tmux else "as background processes (there is no tmux)"
        wanted = services_of(options)
        began: list[str] = []
        try:
            for service in wanted:
                session = options.session if tmux else None
                with held():
                    services.launch(service.name, service.command, service.environment, logdir, session)
                    began.append(service.name)
            print(f"Starting {' '.join(names)} with {options.engine}, logs in {options.logdir}, {place}", flush=True)
            wait(options.controller, names, len(wanted) - 1, options.ready_seconds, logdir, began)
        except BaseException:
            with undisturbed():
                # a session that refused the first service is not ours
                services.stop(logdir, options.session if tmux and began else None, options.grace_seconds)
            raise


def stop(options: ServeOptions) -> str:
    """Stop the services of the log folder and the session; returns what to say."""
    stopped = services.stop(Path(options.logdir), options.session, options.grace_seconds)
    return f"Stopped {stopped} processes" if stopped else "Nothing of ours was running"


def stop_command(options: ServeOptions) -> str:
    """What a user types to stop the services."""
    given = {"session": options.session, "logdir": options.logdir}
    defaults = fields_of(ServeOptions)
    other = {name: value for name, value in given.items() if value != defaults[name].default}
    if STOP_SCRIPT.is_file():
        variables = [f"{name.upper()}={shlex.quote(value)}" for name, value in other.items()]
        return " ".join([*(variables if other else []), "sh", str(STOP_SCRIPT)])
    return " ".join(["openr serve --stop", *(f"--{name} {shlex.quote(value)}" for name, value in other.items())])


@contextlib.contextmanager
def serving(options: ServeOptions, out: TextIO = sys.stdout) -> Iterator[str]:
    """Services while the block runs, stopped whichever way it ends: Ctrl-C, SIGTERM, SIGHUP, an exception.

    Yields the controller's address. Messages go to `out`. Raises what `start` raises.
    """
    with ended_by_signals():
        with contextlib.redirect_stdout(out):
            start(options)
        try:
            yield options.controller
        finally:
            with undisturbed():
                print(stop(options), file=out, flush=True)


# The command.


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog=PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--stop", action="store_true", help="stop what was started with this --logdir and --session")
    add_options(p, ServeOptions)
    p.add_argument("command", nargs="*", metavar="COMMAND", help="after --: served while it runs; its environment has "
                   "CONTROLLER_ADDR")  # fmt: skip
    return p


def words_of_environment(names: Iterable[str]) -> list[str]:
    """The flags that environment variables stand for; an empty variable stands for none."""
    return [f"--{name}={value}" for name in names if (value := os.environ.get(name.upper()))]


def options_of_environment(defaults: Mapping[str, Any], **given: Any) -> ServeOptions:
    """Options from environment variables, over `defaults` and under `given`. Raises SystemExit, UserError."""
    of_environment = parser().parse_args(words_of_environment(fields_of(ServeOptions)))
    values = {**defaults, **given_options(of_environment, ServeOptions), **given}
    options: ServeOptions = build(ServeOptions, values, PROG)
    return options


def act(args: argparse.Namespace) -> int:
    """What the command line asks for."""
    options: ServeOptions = build(ServeOptions, given_options(args, ServeOptions), PROG)
    if args.stop:
        print(stop(options))
        return 0
    if args.command:
        with serving(options) as controller:
            return run_to_end(args.command, os.environ | {"CONTROLLER_ADDR": controller})
    with ended_by_signals():
        start(options)
    print(f"Controller: {options.controller}. Stop with: {stop_command(options)}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    names = OF_STOP if "--stop" in given else fields_of(ServeOptions)
    args = parser().parse_args(words_of_environment(names) + given)
    return run_command(PROG, lambda: act(args))


if __name__ == "__main__":
    sys.exit(main())
