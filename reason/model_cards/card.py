"""Model cards: what differs between model families, as data.

A card is a YAML file of this folder, or `model_card.yaml` in a model's own folder. Found in this order: the
model's folder, the `--card` argument (a name or a path), the card whose `models` list holds the hub id or
folder name exactly. Workers answer with their card at `/model_details`, so both ends agree.
"""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, overload

import yaml

from reason.common.errors import UserError

FOLDER = Path(__file__).parent
OWN = "model_card.yaml"  # in a model's folder
KINDS = {"lm": "a language model", "prm": "a reward model"}


@dataclass(frozen=True)
class LMCard:
    """A policy LM: how its prompt is laid out, where a step ends, how it likes to be sampled."""

    name: str
    prompt: str = ""  # raw layout with {system} and {question}; empty: the chat template
    chat_template: str = ""  # Jinja; empty: the tokenizer's, which the worker fills in
    system: str = ""
    step_separator: str = "\n\n"
    stop: tuple[str, ...] = ()  # texts that end a solution, beside the end-of-text token
    sampling: dict[str, float] = field(default_factory=dict)  # temperature, top_p, top_k
    task: str = ""  # the task whose prompt it was trained on
    models: tuple[str, ...] = ()  # hub ids and folder names
    kind: str = "lm"


@dataclass(frozen=True)
class SelfTest:
    """A question with one solution that must score above another; a PRM that cannot tell says so at load."""

    question: str
    good: tuple[str, ...]
    bad: tuple[str, ...]


@dataclass(frozen=True)
class Rationale:
    """What a generative judge writes before its verdict (GenRM-CoT; Zhang et al., 2024)."""

    end: str  # the text that closes it; the verdict's token comes next
    samples: int = 1  # K: the score is the mean over so many of them
    max_tokens: int = 512
    temperature: float = 1.0


@dataclass(frozen=True)
class PRMCard:
    """A PRM: how question and steps are laid out, where the score is read and from what, what it means.

    With `chat`, question and steps are turns of the chat template, and `question` and `step` lay out their text:
    the question is the user's turn and the steps are the assistant's; or, with `answer`, each step is a user's turn
    (the question before the first), answered by `answer`, and its score stands where that answer is predicted.

    A generative judge is an LM behind an LM worker. It is asked once a step: question, the steps up to it, `ask`, which
    are the user's turn with `chat`. Its score is P(good) of the token that comes next, or of the one after a rationale.
    """

    name: str
    head: str  # "token_logits" | "two_class" | "value" | "implicit" | "generative"; see prm/scoring/heads.py
    step_tag: str = ""  # the text, a single token, at which a step's score is read; empty: at the token before {tag}
    question: str = "{question}\n"  # layout of the question; {bos} is the tokenizer's beginning-of-text token
    step: str = "{step}{tag}\n"  # layout of each step; {n} is its number from 1
    strip: bool = True  # whether a step's surrounding white space is dropped first
    question_apart: bool = False  # whether the question's text is turned into tokens by itself
    chat_template: str = ""  # as LMCard; used when `chat` is set
    chat: bool = False  # question and steps are turns of a chat
    system: str = ""  # chat: the system's turn; empty: none, or the template's own
    answer: str = ""  # chat: the answer to each step's turn, a single token
    outcome: bool = False  # an ORM: it reads finished solutions; a step's score is that of the solution that ends there
    closing: str = ""  # outcome, without chat: text after the last step
    good: str = ""  # token_logits, generative: the tokens whose softmax gives P(good)
    bad: str = ""
    ask: str = ""  # generative: the text behind the steps that asks for a verdict on the last; {n} is its number
    rationale: Rationale | None = None  # generative: None where the verdict comes at once
    good_label: int = 1  # two_class: index of the good class
    head_weights: tuple[str, ...] = ()  # two_class, value: the checkpoint's linear layers, ReLU between two of them
    head_affine: tuple[str, ...] = ()  # gain and bias, numbers in the checkpoint, that the hidden state passes first
    head_file: str = ""  # the checkpoint's file with the head, where it is not among the model's own
    sigmoid: bool = True  # value: whether a sigmoid maps the head's number into [0, 1]
    beta: float = 1.0  # implicit: factor of the log-ratio
    reference_model: str = ""  # implicit: the model whose log-probabilities are subtracted
    meaning: str = "correctness"  # "correctness" | "value" | "advantage" | "log_ratio" (without bounds)
    aggregation: str = "min"  # the aggregate it is best with: last, min, prod, mean
    max_length: int = 4096  # tokens
    overflow: str = "error"  # beyond max_length: "error", or "truncate_question" from its left
    self_test: SelfTest | None = None
    base_model: str = ""  # for adapters: the model they are loaded over
    models: tuple[str, ...] = ()
    kind: str = "prm"


Card = LMCard | PRMCard
MEANINGS = ("correctness", "value", "advantage", "log_ratio")


def from_dict(data: dict[str, Any], where: str) -> Card:
    """Build and check a card; raises UserError that names `where` and the field."""
    if not isinstance(data, dict):
        raise UserError(f"{where}: a card is a mapping of fields")
    kind = data.get("kind", "lm")
    if kind not in ("lm", "prm"):
        raise UserError(f"{where}: kind must be lm or prm, not {kind!r}")
    cls = LMCard if kind == "lm" else PRMCard
    names = {f.name for f in fields(cls)}
    unknown = sorted(set(data) - names)
    if unknown:
        raise UserError(f"{where}: unknown field {unknown[0]!r}; a {kind} card has {', '.join(sorted(names))}")
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
    if isinstance(values.get("self_test"), dict):
        test = values["self_test"]
        try:
            values["self_test"] = SelfTest(test["question"], tuple(test["good"]), tuple(test["bad"]))
        except KeyError as error:
            raise UserError(f"{where}: self_test lacks {error}") from None
    if isinstance(values.get("rationale"), dict):
        try:
            values["rationale"] = Rationale(**values["rationale"])
        except TypeError as error:
            raise UserError(f"{where}: rationale: {error}") from None
    try:
        card = cls(**values)
    except TypeError as error:
        raise UserError(f"{where}: {error}") from None
    if isinstance(card, LMCard) and not card.step_separator:
        raise UserError(f"{where}: step_separator is empty")
    if isinstance(card, PRMCard) and card.meaning not in MEANINGS:
        raise UserError(f"{where}: meaning must be one of {', '.join(MEANINGS)}, not {card.meaning!r}")
    if isinstance(card, PRMCard) and card.head == "generative":
        _check_judge(card, where)
    return card


def _check_judge(card: PRMCard, where: str) -> None:
    if not card.good or not card.bad or card.good == card.bad:
        raise UserError(f"{where}: a generative judge needs good and bad, the two tokens of its verdict")
    rationale = card.rationale
    if rationale is None:
        return
    if not isinstance(rationale, Rationale) or not isinstance(rationale.end, str) or not rationale.end:
        raise UserError(f"{where}: rationale must hold end, the text before the verdict")
    for name in ("samples", "max_tokens"):
        if type(getattr(rationale, name)) is not int or getattr(rationale, name) < 1:
            raise UserError(f"{where}: rationale.{name} must be a whole number of at least 1")


def fits(card: Card, kind: str) -> bool:
    """Whether a worker of that kind serves the model: a generative judge is a PRM that an LM worker serves."""
    return card.kind == kind or (kind == "lm" and isinstance(card, PRMCard) and card.head == "generative")


def to_dict(card: Card) -> dict[str, Any]:
    """The card as plain data, for JSON and for comparison."""
    return asdict(card)


def load(path: Path) -> Card:
    """Read one card file."""
    try:
        return from_dict(yaml.safe_load(path.read_text(encoding="utf-8")), str(path))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def save(card: Card, folder: Path) -> None:
    """Put the card into a model's folder, where `find` looks first, without fields that have their default."""
    usual = {f.name: f.default if f.default_factory is MISSING else f.default_factory() for f in fields(card)}
    said = {name: _listed(value) for name, value in to_dict(card).items() if value != usual[name]}
    text = yaml.safe_dump({"kind": card.kind} | said, allow_unicode=True, sort_keys=False, width=120)
    (folder / OWN).write_text(text, encoding="utf-8")


def _listed(value: Any) -> Any:
    """Tuples as lists, for YAML."""
    if isinstance(value, dict):
        return {key: _listed(one) for key, one in value.items()}
    return [_listed(one) for one in value] if isinstance(value, (list, tuple)) else value


@overload
def find(model_path: str, kind: Literal["prm"], card: str | None = None, flag: str = "--card") -> PRMCard: ...
@overload
def find(model_path: str, kind: str, card: str | None = None, flag: str = "--card") -> Card: ...
def find(model_path: str, kind: str, card: str | None = None, flag: str = "--card") -> Card:
    """The card of a model by the order above; raises UserError that lists the cards there are.

    `flag` is what a user names a card with; empty: there is none.
    """
    own = Path(model_path) / OWN
    files = sorted(FOLDER.glob("*.yaml"))
    if card is None and own.is_file():
        found = load(own)
    elif card is not None:
        named = Path(card) if card.endswith((".yaml", ".yml")) else FOLDER / f"{card}.yaml"
        if not named.is_file():
            raise UserError(f"no card {card!r}; there are: {', '.join(f.stem for f in files)}")
        found = load(named)
    else:
        wanted = {model_path.rstrip("/"), Path(model_path).name}
        matches = [c for c in map(load, files) if wanted & set(c.models)]
        if not matches:
            raise UserError(_not_listed(model_path, flag, [f.stem for f in files]))
        found = next((c for c in matches if fits(c, kind)), matches[0])
    if not fits(found, kind):
        model = f"{model_path}: " if model_path else ""
        refusal = f"card {found.name!r} is of {KINDS[found.kind]} (kind {found.kind}), it cannot be {KINDS[kind]}"
        raise UserError(model + refusal + (f"; {flag} names another card" if flag and card is None else ""))
    return found


def is_known(model_path: str, card: str | None) -> bool:
    """Whether `find` has a card for the model: a named one, its own, or one that lists it."""
    wanted = {model_path.rstrip("/"), Path(model_path).name}
    own = (Path(model_path) / OWN).is_file()
    return card is not None or own or any(wanted & set(load(file).models) for file in FOLDER.glob("*.yaml"))


def default_lm_card(name: str, tokenizer: Any) -> LMCard:
    """The card of a language model that has none, from its tokenizer: the chat template, or the question's bare text,
    and the special tokens with which the template ends the assistant's turn. Steps end at a blank line.
    """
    if not isinstance(tokenizer.chat_template, str):
        return LMCard(name, prompt="{question}\n")
    turns = [{"role": "user", "content": "question"}, {"role": "assistant", "content": "zqzsolutionzqz"}]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False)
    except Exception as error:  # a template is a program, which may raise anything
        raise UserError(f"{name}: its chat template cannot be used: {error}") from None
    end = text.rpartition("zqzsolutionzqz")[2].lstrip()
    special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return LMCard(name, chat_template=tokenizer.chat_template, stop=tuple(t for t in special if end.startswith(t)))


def _not_listed(model_path: str, flag: str, names: list[str]) -> str:
    """Why a model has no card: its folder is not there, or no card lists it."""
    no_hub_id = model_path.startswith(("/", "./", "../", "~")) or model_path.rstrip("/").count("/") > 1
    if no_hub_id and not Path(model_path).is_dir():
        return f"there is no folder {model_path}"
    advice = f"name one with {flag}" if flag else "add it to the `models` of one"
    return f"no card lists the model {model_path!r}; {advice}: {', '.join(names)}"


def with_template(card: Card, tokenizer: Any) -> Card:
    """The card with the tokenizer's chat template, where it needs one and has none. Raises UserError."""
    needed = not card.prompt if isinstance(card, LMCard) else card.chat
    if card.chat_template or not needed:
        return card
    template = tokenizer.chat_template
    if not isinstance(template, str):
        raise UserError(
            f"card {card.name!r} leaves the chat template to the tokenizer, which has none: give the card a "
            "`chat_template` or, for a language model, a `prompt`"
        )
    return replace(card, chat_template=template)
