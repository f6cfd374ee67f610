"""From a question to the prompt of a policy LM, by its card. The model's steps are appended to it as they are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from reason.model_cards.card import LMCard

if TYPE_CHECKING:
    from jinja2 import Template


@lru_cache(maxsize=8)
def _template(source: str) -> Template:  # jinja2 is imported only where a chat template is used
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message: str) -> None:
        raise ValueError(f"the chat template refuses the conversation: {message}")

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = raise_exception
    return environment.from_string(source)


def render(card: LMCard, question: str, examples: Sequence[tuple[str, str]] = ()) -> str:
    """The prompt up to where the solution starts.

    `question` is the task's user turn; `examples` are (question, solution) pairs set before it.
    Raises ValueError when the card has neither a raw layout nor a chat template.
    """
    if card.prompt:
        turns = [_raw(card, q) + solution + card.step_separator for q, solution in examples]
        return "".join(turns) + _raw(card, question)
    if not card.chat_template:
        raise ValueError(f"card {card.name!r} has neither a prompt layout nor a chat template")
    messages = [{"role": "system", "content": card.system}] if card.system else []
    for q, solution in examples:
        messages += [{"role": "user", "content": q}, {"role": "assistant", "content": solution}]
    messages.append({"role": "user", "content": question})
    return _template(card.chat_template).render(
        messages=messages, add_generation_prompt=True, bos_token="", eos_token=""
    )


def _raw(card: LMCard, question: str) -> str:
    # replace, not format: a question may hold braces
    return card.prompt.replace("{system}", card.system).replace("{question}", question)
