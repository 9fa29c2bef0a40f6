"""Differences: codes are in the person's language, and what people have called something is as they wrote it."""

import pytest

from console.changed import differences
from console.languages import Language
from console.rendering import _environment

in_chinese = _environment(Language.CHINESE).filters["in_words"]
in_english = _environment(Language.ENGLISH).filters["in_words"]


@pytest.mark.parametrize(
    ("field", "value", "english", "chinese"),
    [
        ("status", "draining", "draining", "收尾中"),
        ("audience_scope", ["visible", "join"], "visible, join", "可见, 可参与"),
        ("discount", {"plan": "full_cut", "expr": "100,20", "audience": None}, "full cut 100,20", "满减 100,20"),
        ("local", True, "yes", "是"),
        ("local", False, "no", "否"),
        ("stock", None, "–", "–"),
        ("name", "active", "active", "active"),
        ("take_limit", 5, "5", "5"),
    ],
)
def test_a_value_is_in_words(field: str, value: object, english: str, chinese: str) -> None:
    (difference,) = differences({field: "another"}, {field: value}, [field])
    assert (in_english(difference.after, field), in_chinese(difference.after, field)) == (english, chinese)


@pytest.mark.parametrize(
    ("reason", "english", "chinese"),
    [
        ("late_payment", "late payment", "付款过晚"),
        ("buyer", "buyer", "买家"),
        ("sold_out today", "sold_out today", "sold_out today"),
    ],
)
def test_a_reason_that_nobody_gave_is_in_words(reason: str, english: str, chinese: str) -> None:
    told = [_environment(language).filters["because"](reason) for language in (Language.ENGLISH, Language.CHINESE)]
    assert told == [english, chinese]
