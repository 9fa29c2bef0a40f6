"""Texts: each that a page shows is there in Chinese."""

import ast
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir

import console
from console import refund_steps
from console.forms import form_fields
from console.languages import Language, in_words, read_texts
from console.pages.campaign_status import StatusAct
from console.rendering import UNITS
from console.statistics_charts import CHARTS
from domain.eligibility import RULES
from domain.errors import MEANINGS
from domain.lifecycle import (
    CampaignStatus,
    CancelReason,
    Completion,
    FailReason,
    MallAnswer,
    OrderStatus,
    PaymentOutcome,
    PaymentReason,
    RefundKind,
    RefundStatus,
    TeamDecision,
    TeamStatus,
)
from domain.messages.refunds import RefundAction
from domain.pricing import DiscountPlan
from domain.schemas.attention import AttentionKind
from domain.schemas.audiences import AudienceFields, AudienceRule, ImportKind, ImportStatus
from domain.schemas.audit import Via
from domain.schemas.campaigns import AudienceScope, NewCampaign
from domain.schemas.events import EventType
from domain.schemas.exports import ExportKind, ExportStatus
from domain.schemas.goods import Goods
from domain.schemas.keys import NewKey
from domain.schemas.malls import MallFields
from domain.schemas.redeliveries import RedeliveryRange
from domain.scopes import Scope
from tests.domain.test_eligibility import FACTS

ROOT = Path(console.__file__).parents[1]
TEMPLATES = ROOT / "console" / "templates"
WORDS: tuple[type[StrEnum], ...] = (
    *(CampaignStatus, CancelReason, Completion, FailReason, MallAnswer, OrderStatus, PaymentOutcome, PaymentReason),
    *(RefundKind, RefundStatus, TeamStatus, DiscountPlan, AttentionKind, ImportKind, ImportStatus, Via, AudienceScope),
    *(EventType, Scope, StatusAct, ExportKind, ExportStatus),
)
FORMS = (NewCampaign, Goods, NewKey, MallFields, RedeliveryRange, AudienceRule, AudienceFields)


ACTS = {"record_act": 2, "record_unchanged": 2, "record_session": 1}
"""what writes an act into the audit, and the place of its name among the arguments"""


def _acts() -> Iterator[str]:
    for package in ("api", "console", "db"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                place = ACTS.get(node.func.id) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None
                if place is not None and isinstance(node, ast.Call) and isinstance(name := node.args[place], ast.Constant):
                    yield str(name.value)
    yield from ("set", "extend", *RefundAction, *TeamDecision)


def _rules() -> Iterator[str]:
    for rule in RULES:
        yield from (rule.name, *rule.inputs(FACTS))


def _shown() -> Iterator[str]:
    methods, options = [("**.html", "jinja2")], {"**.html": {"trim_blocks": "true", "lstrip_blocks": "true"}}
    for _, _, message, _, _ in extract_from_dir(TEMPLATES, methods, options):
        yield str(message)
    yield from (in_words(word) for kind in WORDS for word in kind)
    yield from (in_words(field.label) for model in FORMS for field in form_fields(model, {}, leave_out=["callback"]))
    acts = set(_acts())
    assert {"export", "resend", "resolve", "sign_in"} <= acts
    yield from (in_words(word) for word in (*acts, *_rules()))
    yield from (unit for _, unit in UNITS)
    yield from (text for steps in refund_steps.STEPS.values() for text in steps)
    yield from (text for chart in CHARTS for text in (chart.text, *(line.text for line in chart.lines)))
    yield from (meaning.title for meaning in MEANINGS.values())


def test_every_text_is_there_in_chinese() -> None:
    texts = read_texts(Language.CHINESE)
    assert sorted(set(_shown()) - texts.keys()) == []


def test_a_translation_fills_in_the_same_values() -> None:
    values = re.compile(r"%\(\w+\)s")
    for text, translated in read_texts(Language.CHINESE).items():
        assert sorted(values.findall(text)) == sorted(values.findall(translated)), text


@pytest.mark.parametrize("word", ["completed_with_refunds", "team.completed"])
def test_a_code_is_shown_in_words(word: str) -> None:
    assert in_words(word).replace(" ", "").isalpha()
