"""Sentences that the platform makes: outcomes of acts, refusals, what waits for a person. They are English where they are made.

A translated sentence is found by its form: the text around its values. The values stay, and are translated in turn where they
are words or sentences themselves.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from console.languages import Language, in_words, read_texts

VALUE = "{}"
SEPARATOR = " – "
"""between a person's words and what came of their act"""
DEPTH = 5
"""of sentences within sentences"""
REMEMBERED = 4096


class _Form(NamedTuple):
    pattern: re.Pattern[str]
    translation: str


def _forms(texts: dict[str, str]) -> list[_Form]:
    """Returns the forms of sentences with values, those that say most first: another's values may be anything."""
    by_length = sorted((text for text in texts if VALUE in text), key=lambda text: -len(text.replace(VALUE, "")))
    return [_Form(_pattern(text), texts[text]) for text in by_length]


def _pattern(form: str) -> re.Pattern[str]:
    """Returns what finds the values of a form, which may be empty.

    A value ends where the text after it comes first. Atomic groups: nothing else is tried, however often that text is repeated.
    """
    begin, *between, end = map(re.escape, form.split(VALUE))
    values = "".join(f"(?>(.*?){text})" for text in between)
    return re.compile(f"{begin}{values}(.*?){end}", re.DOTALL)


def sentence_translator(language: Language, words: Callable[[str], str]) -> Callable[[str | None], str]:
    """Returns what translates the platform's sentences to a language; a text that it does not know stays as it is.

    Args:
        language: the language.
        words: translates the words of a status, kind or code.
    """
    if language is Language.ENGLISH:
        return lambda text: text or ""
    texts = dict(read_texts(f"{language}.sentences"))
    forms = _forms(texts)

    def translate(text: str, depth: int = DEPTH) -> str:
        if text in texts and VALUE not in text:
            return texts[text]
        for form in forms if depth else ():
            if found := form.pattern.fullmatch(text):
                return form.translation.format(*(value(each, depth - 1) for each in found.groups()))
        return text

    def value(text: str, depth: int) -> str:
        shown = words(in_words(text)) if text.replace("_", "").replace(".", "").isalpha() else text
        return shown if shown not in (text, in_words(text)) else translate(text, depth)

    @lru_cache(REMEMBERED)
    def translated(text: str) -> str:
        return SEPARATOR.join(translate(part) for part in text.split(SEPARATOR))

    return lambda text: translated(text) if text else ""
