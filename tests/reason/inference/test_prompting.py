"""Prompts by card: raw layouts and chat templates."""

import pytest

from reason.inference.prompting import render
from reason.model_cards.card import LMCard


def test_a_raw_layout_keeps_braces_of_the_question():
    card = LMCard(name="raw", prompt="{system}\nQ: {question}\n", system="S", step_separator="\n")
    assert render(card, r"\boxed{x} {system}") == "S\nQ: \\boxed{x} {system}\n"


def test_examples_come_before_the_question():
    card = LMCard(name="raw", prompt="{question}\n", step_separator="\n")
    assert render(card, "2 + 2", [("1 + 1", "1 + 1 = 2")]) == "1 + 1\n1 + 1 = 2\n2 + 2\n"


def test_a_chat_template_sees_system_and_user():
    template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
    )
    card = LMCard(name="chat", chat_template=template, system="S")
    assert render(card, "Q") == "<system>S<user>Q<a>"


def test_a_hostile_chat_template_reaches_nothing():
    card = LMCard(name="bad", chat_template="{{ messages.__class__.__mro__ }}")
    with pytest.raises(Exception, match=r"unsafe|undefined|access"):
        render(card, "Q")


def test_a_card_without_layout_is_named():
    with pytest.raises(ValueError, match="'empty'"):
        render(LMCard(name="empty"), "Q")
