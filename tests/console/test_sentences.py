"""The platform's own sentences in Chinese: each that the code can make is there, with its values where they belong."""

import ast
import re
import time
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
VIOLATIONS = sorted((ROOT / "db" / "functions").glob("*_violations.sql"))
ATTENTION = ROOT / "db" / "attention.py"
REFUNDED = "invariant 6: order s01:n1: refunding, but its refund 1 is done"
REFUNDED_IN_CHINESE = "不变量 6：订单 s01:n1：退款中，但其第 1 次退款的状态是已完成"
NO_TEXT = re.compile("--.*|interval '[^']*'")
TEXT = re.compile(r"'((?:[^']|'')*)'( \|\|)?")
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


def _made_in_sql() -> Iterator[str]:
    """What is wrong, and with what: sentences that are formatted, and those that a value follows."""
    for file in VIOLATIONS:
        for text, is_followed in TEXT.findall(NO_TEXT.sub("", file.read_text())):
            yield _form(text) + VALUE * bool(is_followed)
    attention = ATTENTION.read_text()
    yield from (VALUE * text.startswith(" ") + _form(text) for text in re.findall(r"format\('([^']*)'", attention))
    yield from (f"{text}: {VALUE}" for text in re.findall("THEN '([^']*)'", attention))


def _form(text: str) -> str:
    return text.replace("''", "'").replace("%%", "%").replace("%s", VALUE)


def test_every_sentence_of_the_database_is_there_in_chinese() -> None:
    made = {text for text in _made_in_sql() if " " in text.replace(VALUE, "").strip(" :")}
    assert len(made) > 35
    assert sorted(made - read_texts(f"{Language.CHINESE}.sentences").keys()) == []


def test_no_sentence_is_taken_for_another() -> None:
    for text, translated in read_texts(f"{Language.CHINESE}.sentences").items():
        values = [f"x{number}" for number in range(text.count(VALUE))]
        filled = text
        for value in values:
            filled = filled.replace(VALUE, value, 1)
        assert told(filled) == (translated.format(*values) if values else translated)


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
        (
            f"the check of the invariants: 2 violations, the first: {REFUNDED} (3 times, last at 2026-01-31 12:00:00 UTC)",
            f"不变量检查：2 处违反，第一处：{REFUNDED_IN_CHINESE}（3 次，最近一次 2026-01-31 12:00:00 UTC）",
        ),
        (
            "invariant 5: user u1 of s01 in campaign 7: 3 live orders, limit 2, counted 3",
            "不变量 5：活动 7 中商城 s01 的用户 u1：3 笔有效订单，限额 2，计数 3",
        ),
        ("invariant 4: team t1: has no order", "不变量 4：队伍 t1：没有订单"),
        ("completed by  with  members, completed 0 times", "已成团（），成员  人，成团 0 次"),
        ("its workflow is not running: canceled", "其工作流没有在运行：已取消"),
        ("No campaign 7 sells goods tea in channel c01 of s01.", "活动 7 没有在商城 s01 的渠道 c01 销售商品 tea。"),
        ("A person's own words, with {} and %s", "A person's own words, with {} and %s"),
        ("", ""),
    ],
)
def test_a_sentence_is_told_with_its_values(text: str, translated: str) -> None:
    assert told(text) == translated
    assert _environment(Language.ENGLISH).filters["told"](text) == text


def test_a_text_that_nearly_is_a_sentence_is_told_at_once() -> None:
    """Whatever a mall or an operator has written, and however often: no form tries all its ways."""
    form = "Campaign {} ({}) sells {} in channel {} of {} from {} to {} UTC."
    begin, *rest = form.split(VALUE)
    text = f"{begin}{''.join(part * 200 for part in rest)}?"
    began = time.monotonic()
    assert told(text) == text
    assert time.monotonic() - began < 1


def test_a_hostile_value_stays_a_value() -> None:
    hostile = "{0.__class__} {1} <b>"
    assert told(f"There is no team {hostile}.") == f"没有队伍 {hostile}。"
    assert told(f"{hostile}{SEPARATOR}The refund is done.") == f"{hostile}{SEPARATOR}退款已完成。"
