"""The frame of every command: one parser, one rule of exit statuses, options from a YAML file.

A command's module has `main(arguments=None) -> int`, which parses and hands the rest to `run_command`.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import inspect
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from reason.common.errors import RunError, UserError, unknown

Act = Callable[[], int | None] | Callable[[], Awaitable[int | None]]

_CALLED: ContextVar[str | None] = ContextVar("_CALLED", default=None)


@contextlib.contextmanager
def called(name: str) -> Iterator[None]:
    """Within it, commands call themselves `name` in help and messages, such as "openr eval" for evaluate.py."""
    before = _CALLED.set(name)
    try:
        yield
    finally:
        _CALLED.reset(before)


def _name_of(prog: str | None) -> str | None:
    """What a command calls itself; one of its sub-commands already begins with the other name."""
    name = _CALLED.get()
    return prog if name is None or (prog or "").startswith(f"{name} ") else name


class Parser(argparse.ArgumentParser):
    """argparse for the project's commands: flags in full, a mistake is one line and exit status 2.

    Every command also takes --config FILE.yaml and --print_config. A file's options are read as if they were typed
    before the command line's own, so they pass the same checks and a flag wins over the file. argcomplete completes
    its flags in a shell.
    """

    _completing: ClassVar[bool] = False  # whether argcomplete is asking

    def __init__(self, prog: str | None = None, *, allow_abbrev: bool = False, **options: Any) -> None:
        super().__init__(_name_of(prog), allow_abbrev=allow_abbrev, **options)
        self._typed: set[str] = set()  # flags of the command line, where a file was read too
        self._file: str | None = None
        group = self.add_argument_group("options from a file")
        of_file = "YAML file of this command's options by their flags' names; a flag wins over the file"
        group.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help=of_file)
        written = "write the options as such a file, and end"
        group.add_argument("--print_config", action="store_true", default=argparse.SUPPRESS, help=written)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """See argparse; --config and --print_config are dealt with here, and a shell that asks for completions."""
        if Parser._completing:
            return super().parse_known_args(args, namespace)
        if "_ARGCOMPLETE" in os.environ:
            import argcomplete

            Parser._completing = True
            argcomplete.autocomplete(self)  # asks the parser, answers the shell and ends the process
        words = list(sys.argv[1:] if args is None else args)
        first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        first.error = self.error  # type: ignore[method-assign]
        first.add_argument("--config")
        first.add_argument("--print_config", action="store_true")
        of_file, rest = first.parse_known_args(words)
        if of_file.config is not None:
            self._file, self._typed = of_file.config, {word.partition("=")[0] for word in rest}
            rest = self._words_of_file(Path(of_file.config)) + rest
        if of_file.print_config and not {"-h", "--help"} & set(rest):
            for action in self._actions:
                action.required = False
            values, unknown_words = super().parse_known_args(rest, namespace)
            if unknown_words:
                self.error(f"unrecognized arguments: {' '.join(unknown_words)}")
            print(self._as_yaml(vars(values)), end="")
            self.exit(0)
        return super().parse_known_args(rest, namespace)

    def error(self, message: str) -> NoReturn:
        """One line instead of the usage."""
        where = ""
        if self._file is not None and not any(flag in message for flag in self._typed if flag.startswith("-")):
            where = f"{self._file}: "
        self.exit(2, f"{self.prog}: {where}{' '.join(message.split())} (see --help)\n")

    def _options(self) -> dict[str, argparse.Action]:
        """Every argument by the name that a file has it under."""
        return {
            action.dest: action
            for action in self._actions
            if action.dest not in ("help", "config", "print_config", argparse.SUPPRESS)
            and not isinstance(action, argparse._SubParsersAction)
        }

    def _words_of_file(self, path: Path) -> list[str]:
        import yaml

        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            self.error(f"--config: cannot be read: {error.strerror}")
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            self.error(f"--config: not YAML: {error}")
        if content is None:
            return []
        if not isinstance(content, dict):
            self.error("--config: a mapping of options is needed, such as `budget: 16`")
        options = self._options()
        positionals: list[str] = []
        words: list[str] = []
        for key, value in content.items():
            action = options.get(str(key).replace("-", "_"))
            if action is None:
                self.error(unknown("option", str(key), options))
            spelt = self._spelt(action, value)
            (words if action.option_strings else positionals).extend(spelt)
        return positionals + words

    def _spelt(self, action: argparse.Action, value: Any) -> list[str]:
        """A file's value as the words that would have been typed."""
        flag = next((name for name in action.option_strings if name.startswith("--")), None)
        if value is None:
            return []
        if action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction):
            if not isinstance(value, bool):
                self.error(f"{action.dest}: true or false is needed, not {value!r}")
            if isinstance(action, argparse.BooleanOptionalAction):
                return [next(name for name in action.option_strings if name.startswith("--no-") != value)]
            return [str(flag)] if value else []
        many = action.nargs not in (None, "?")
        if isinstance(value, dict) or (isinstance(value, list) and not many):
            self.error(f"{action.dest}: one value is needed, not {type(value).__name__}")
        values = [str(item) for item in value] if isinstance(value, list) else [str(value)]
        if flag is None:
            return values
        return [flag, *values] if many else [f"{flag}={values[0]}"]

    def _as_yaml(self, values: Mapping[str, Any]) -> str:
        import yaml

        lines = []
        for name in self._options():
            value = values.get(name)
            if value is None or isinstance(value, bool | int | float | str):
                plain: Any = value
            elif isinstance(value, list | tuple):
                plain = [item if isinstance(item, bool | int | float) else str(item) for item in value]
            else:
                plain = str(value)
            said = yaml.safe_dump(plain, allow_unicode=True, default_flow_style=True, width=10_000)
            lines.append(
                f"# {name}:" if value is None else f"{name}: {said.removesuffix(chr(10)).removesuffix('...').strip()}"
            )
        return "\n".join(lines) + "\n"


# Types of arguments.


def positive(text: str) -> int:
    """An integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, not {text!r}")
    return int(text)


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, not {text!r}")
    return value


def str2bool(text: str) -> bool:
    """True or False by name, as OpenR's flags take them."""
    if text not in ("True", "False"):
        raise argparse.ArgumentTypeError(f"must be True or False, not {text!r}")
    return text == "True"


# Exit statuses.


def run_command(prog: str, act: Act, speaks: bool = True) -> int:
    """Run what a command does and return its exit status; a coroutine function gets an event loop.

    0; 1 for RunError; 2 for UserError, for a file that cannot be read or written, and for a package that is missing;
    130 on Ctrl-C, 143 on SIGTERM (where `act` is a coroutine function), 141 when nobody reads its output any more.
    Each error is one line on stderr; `speaks` False leaves it to another process of the same run.
    """
    name = _name_of(prog)

    def say(message: object) -> None:
        if speaks:
            print(f"{name}: {' '.join(str(message).split())}", file=sys.stderr)

    try:
        return int((_in_event_loop(act) if inspect.iscoroutinefunction(act) else act()) or 0)  # type: ignore[arg-type]
    except UserError as error:
        say(error)
        return 2
    except RunError as error:
        say(error)
        return 1
    except ModuleNotFoundError as error:
        say(f"{error.name} is needed: pip install it")
        return 2
    except BrokenPipeError:
        with contextlib.suppress(OSError):  # what Python flushes at its end has nowhere to go
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        say(f"{error.strerror}: {error.filename}" if error.strerror and error.filename else error.strerror or error)
        return 2
    except KeyboardInterrupt:
        return 130


def _in_event_loop(act: Callable[[], Awaitable[int | None]]) -> int | None:
    """`act`, cancelled by SIGTERM as by Ctrl-C, so that `finally` blocks run."""
    import asyncio  # only here: a fifth of the time that a command's help takes

    async def stopped_by_sigterm() -> int | None:
        task = asyncio.current_task()
        assert task is not None
        with contextlib.suppress(NotImplementedError, RuntimeError):  # not in the main thread
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await act()

    try:
        return asyncio.run(stopped_by_sigterm())
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM


def expect_many_requests() -> None:
    """Prepare a process that will have thousands of requests in flight.

    Each is a connection, so the soft limit of open files is raised where the hard one lets us. What the requests hold
    is alive, and each look of the garbage collector goes through it all, so it looks more rarely: with 4,000 requests
    of a search in flight it took half a core.
    """
    import resource

    gc.set_threshold(50_000, 10, 10)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
