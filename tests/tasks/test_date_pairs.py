"""Generated dates: their French is right, no day comes twice, and they are the same each time."""

import datetime
import re

import pytest

from theano_rnn.tasks.date_pairs import FORMS, MONTHS, SIZES, date_pairs, english, french, number_in_french

KNOWN = {
    (2021, 5, 3): "le trois mai deux mille vingt et un", (1900, 1, 1): "le premier janvier mille neuf cents",
    (2080, 8, 31): "le trente et un août deux mille quatre-vingts",
    (1971, 12, 16): "le seize décembre mille neuf cent soixante et onze",
    (1992, 2, 29): "le vingt-neuf février mille neuf cent quatre-vingt-douze",
    (2000, 6, 21): "le vingt et un juin deux mille", (2091, 7, 10): "le dix juillet deux mille quatre-vingt-onze",
    (1978, 4, 17): "le dix-sept avril mille neuf cent soixante-dix-huit",
}  # fmt: skip


@pytest.mark.parametrize(("day", "text"), KNOWN.items())
def test_dates_are_written_in_french(day, text):
    assert french(datetime.date(*day)) == text


def test_every_number_is_another_text_and_weekdays_are_those_of_the_calendar():
    assert len({number_in_french(number) for number in range(10_000)}) == 10_000
    assert french(datetime.date(2024, 2, 29), weekday=True).startswith("jeudi vingt-neuf février")


def test_no_day_comes_twice_and_all_pairs_say_the_same_day():
    parts = date_pairs()
    assert {part: len(pairs) for part, pairs in parts.items()} == SIZES
    targets = set()
    for source, target in (pair for pairs in parts.values() for pair in pairs):
        words = re.sub("[A-Z][a-z]+day", "", source)  # Monday is not Mon
        month = next(number for number, name in enumerate(MONTHS, 1) if name[:3] in words)
        day, year = (int(number) for number in re.findall(r"\d+", source))
        date = datetime.date(year, month, day)
        assert target == french(date, weekday="day" in source) and target not in targets
        targets.add(french(date))
        assert any(source == english(date, form) for form in FORMS)
    assert len(targets) == sum(SIZES.values())


def test_they_depend_on_the_seed_alone():
    assert date_pairs() == date_pairs() and date_pairs(2) != date_pairs(1)
