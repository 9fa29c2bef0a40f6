"""The console's languages. Texts are English in code and templates; `texts/` has them in Chinese."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from babel.messages.pofile import read_po
from fastapi import Request

from console.cookies import LANGUAGE_COOKIE

TEXTS = Path(__file__).parent / "texts"


class Language(StrEnum):
    ENGLISH = "en"
    CHINESE = "zh"


def language_of(request: Request) -> Language:
    """Returns the language that the person chose, else the first of the browser's that the console has."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    accepted = request.headers.get("accept-language", "").split(",")
    for wanted in (chosen or "", *(entry.partition(";")[0].strip() for entry in accepted)):
        for language in Language:
            if wanted.lower().partition("-")[0] == language:
                return language
    return Language.ENGLISH


def read_texts(name: str) -> Mapping[str, str]:
    """Returns the texts of a catalogue, which is named as its language, by the English ones."""
    if name == Language.ENGLISH:
        return {}
    with (TEXTS / f"{name}.po").open("rb") as file:
        catalogue = read_po(file, locale=name.partition(".")[0])
    return {str(message.id): str(message.string) for message in catalogue if message.id and message.string}


def in_words(value: str) -> str:
    """Returns a status, kind or code of the API in words, in English: `completed_with_refunds` is `completed with refunds`."""
    return value.replace("_", " ").replace(".", " ")
