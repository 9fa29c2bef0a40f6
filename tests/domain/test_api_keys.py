"""The form of API keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.api_keys import ALPHABET, SECRET_LENGTH, is_well_formed, make_key

SECRETS = st.text(ALPHABET, min_size=SECRET_LENGTH, max_size=SECRET_LENGTH)
KEY = make_key("0123456789abcdefghijABCDEFGHIJ", for_operations=False)


def test_keys_never_change() -> None:
    """Malls hold them: another checksum would refuse every key."""
    assert KEY == "gb_mall_0123456789abcdefghijABCDEFGHIJ2pH3Bl"
    assert make_key("0" * 30, for_operations=True) == "gb_ops_0000000000000000000000000000003qFJK6"


@given(SECRETS, st.booleans(), st.data())
def test_a_key_is_well_formed_until_a_character_changes(secret: str, for_operations: bool, data: st.DataObject) -> None:
    key = make_key(secret, for_operations=for_operations)
    assert is_well_formed(key)
    place = data.draw(st.integers(0, len(key) - 1))
    other = data.draw(st.sampled_from(ALPHABET + "_é").filter(lambda character: character != key[place]))
    assert not is_well_formed(key[:place] + other + key[place + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gb_mall_",
        "unknown",
        KEY[:-1],
        f"{KEY}0",
        f" {KEY}",
        f"{KEY}\n",
        KEY.replace("mall", "ops"),
        KEY.upper(),
        "\xff" * 44,
    ],
)
def test_what_is_no_key_is_known_by_its_form(text: str) -> None:
    assert not is_well_formed(text)
