"""The platform's own sentences in Chinese: each that the code can make is there, with its values where they belong."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.forms import form_fields
from console.languages import Language, read_texts
from console.rendering import _environment
from console.sentences import SEPARATOR, VALUE
from tests.console.test_texts import FORMS

ROOT = Path(__file__).parents[2]
MADE_IN = ("console", "db", "domain", "api/services", "activities/callbacks")
CALLS = {"Refusal": 1, "SendResult": 1, "Risk": 1, "FieldProblem": 1, "GroupBuyError": 1, "Unavailable": 0}
"""by the place of the sentence among the arguments"""
NO_SENTENCE = {"{} / {}"}
OF_THE_API = {'The JSON of payloads is expected: {"payloads": […]}.'}

told = _environment(Language.CHINESE).filters["told"]


def _expressions(tree: ast.AST) -> Iterator[ast.expr]:
    assigned = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(isinstance(each, ast.Name) and each.id == "detail" for each in node.targets):
            yield node.value
        if not isinstance(node, ast.Call):
            continue
        place = CALLS.get(node.func.id) if isinstance(node.func, ast.Name) else None
        given = [node.args[place]] if place is not None and len(node.args) > place else []
        given += [keyword.value for keyword in node.keywords if keyword.arg == "detail"]
        yield from (assigned.get(each.id, each) if isinstance(each, ast.Name) else each for each in given)


def _sentences(expression: ast.expr) -> Iterator[str]:
    match expression:
        case ast.Constant(value=str(text)) if " " in text:
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else VALUE for part in parts)
        case ast.IfExp(body=body, orelse=orelse):
            yield from _sentences(body)
            yield from _sentences(orelse)


def _made() -> set[str]:
    files = [file for package in MADE_IN for file in (ROOT / package).rglob("*.py")]
    made = {text for file in files for each in _expressions(ast.parse(file.read_text())) for text in _sentences(each)}
    return {text for text in made if " " in text.replace(VALUE, "").strip()} - NO_SENTENCE - OF_THE_API


def test_every_sentence_is_there_in_chinese() -> None:
    made = _made()
    assert len(made) > 80
    assert sorted(text for text in made if told(text.replace(VALUE, "x1")) == text.replace(VALUE, "x1")) == []


def test_every_help_of_a_form_is_there_in_chinese() -> None:
    helps = {field.help for model in FORMS for field in form_fields(model, {}) if field.help}
    assert sorted(text for text in helps if told(text) == text) == []


def test_a_translation_names_every_value_once() -> None:
    for text, translated in read_texts(f"{Language.CHINESE}.sentences").items():
        values = re.findall(r"(?<!\{)\{(\d+)\}(?!\})", translated) if VALUE in text else []
        assert sorted(map(int, values)) == list(range(text.count(VALUE))), text


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("The team is completed (min_count).", "队伍现在已成团（达到最低人数）。"),
        (
            "Its deadline is 2026-01-31 12:00:00 UTC, 60 min later than before.",
            "其截止时间是 2026-01-31 12:00:00 UTC，比之前晚 60 分钟。",
        ),
        ("changed their mind – The refund is done.", "changed their mind – 退款已完成。"),
        (
            "its workflow is not running: Temporal knows no run (3 times, last at 2026-01-31 12:00:00 UTC)",
            "其工作流没有在运行：Temporal 中没有它的运行记录（3 次，最近一次 2026-01-31 12:00:00 UTC）",
        ),
        ("No campaign 7 sells goods tea in channel c01 of s01.", "活动 7 没有在商城 s01 的渠道 c01 销售商品 tea。"),
        ("A person's own words, with {} and %s", "A person's own words, with {} and %s"),
        ("", ""),
    ],
)
def test_a_sentence_is_told_with_its_values(text: str, translated: str) -> None:
    assert told(text) == translated
    assert _environment(Language.ENGLISH).filters["told"](text) == text


def test_a_hostile_value_stays_a_value() -> None:
    hostile = "{0.__class__} {1} <b>"
    assert told(f"There is no team {hostile}.") == f"没有队伍 {hostile}。"
    assert told(f"{hostile}{SEPARATOR}The refund is done.") == f"{hostile}{SEPARATOR}退款已完成。"
