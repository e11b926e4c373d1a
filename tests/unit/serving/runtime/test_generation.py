"""Where a text ends, and how tokens become text."""

from hypothesis import given
from hypothesis import strategies as st

from suanli.serving.runtime.detokeniser import Detokeniser
from suanli.serving.runtime.generation import Message, StopText, plain_chat

letters = st.text("ab", max_size=12)


def passed_on(pieces: list[str], stop: tuple[str, ...]) -> str:
    watch = StopText(stop)
    shown = [watch.pass_on(piece) for piece in pieces]
    return "".join(shown) + watch.rest()


@given(st.lists(letters), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_a_text_ends_before_the_stop_text_that_is_complete_first_however_it_is_cut(
    pieces: list[str], stop: list[str]
) -> None:
    whole = "".join(pieces)
    found = [(whole.index(one) + len(one), whole.index(one)) for one in stop if one in whole]
    assert passed_on(pieces, tuple(stop)) == (whole[: min(found)[1]] if found else whole)


def test_an_ending_that_may_begin_a_stop_text_is_held_back_until_it_is_clear() -> None:
    watch = StopText(("END",))
    assert [watch.pass_on(piece) for piece in ("a E", "N", "O", "EN", "D x", "y")] == [
        "a ",
        "",
        "ENO",
        "",
        "",
        "",
    ]
    assert watch.ended


def test_nothing_that_is_held_back_is_lost_at_the_end() -> None:
    watch = StopText(("END",))
    assert watch.pass_on("the EN") + watch.rest() == "the EN"


def by_bytes(ids: list[int]) -> str:
    return bytes(ids).decode(errors="replace")


@given(st.text())
def test_characters_of_several_tokens_are_given_whole(text: str) -> None:
    tokens = Detokeniser(by_bytes)
    pieces = [tokens.add(token) for token in text.encode()]
    assert all("\ufffd" not in piece for piece in pieces) or "\ufffd" in text
    assert "".join(pieces) + tokens.rest() == text


@given(st.binary(max_size=60))
def test_the_pieces_are_what_decoding_all_at_once_gives(ids: bytes) -> None:
    tokens = Detokeniser(by_bytes)
    assert "".join(tokens.add(token) for token in ids) + tokens.rest() == by_bytes(list(ids))


def test_a_decoder_that_drops_a_first_space_drops_only_the_first() -> None:
    words = [" one", " two", " three"]
    tokens = Detokeniser(lambda ids: "".join(words[at] for at in ids).removeprefix(" "))
    assert [tokens.add(token) for token in (0, 1, 2, 0)] == ["one", " two", " three", " one"]


def test_a_chat_without_a_template_is_put_line_by_line() -> None:
    assert (
        plain_chat([Message("system", "be brief"), Message("user", "hi")])
        == "system: be brief\nuser: hi\nassistant:"
    )
