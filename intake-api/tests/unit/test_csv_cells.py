"""CSV that is data to a spreadsheet, and comes back as it was."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intake_api.csv_cells import MARK, csv_lines, original, safe_cell

RUNNABLE = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|'/C calc'!A0", '"=1', "'=1", " =1", "\uff1d1", "\uff0b1",
    "\uff0d1", "\uff201", "a\n=1", "a\r\n+1", 'a\n"=1', "|x", "%x", "\tx", "\rx",
]  # fmt: skip


@pytest.mark.parametrize("text", RUNNABLE)
def test_s12_what_a_spreadsheet_could_run_is_marked(text: str) -> None:
    assert safe_cell(text) == MARK + text


@pytest.mark.parametrize("text", ["", "Doe", "O'Neil", "a=b", "jean-luc", "x@example.com", "Ünal, 3rd", '5" heel'])
def test_s12_ordinary_text_stays(text: str) -> None:
    assert safe_cell(text) == text


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=5))
def test_s12_parsed_back_it_is_what_went_in(rows: list[list[str]]) -> None:
    parsed = csv.reader(io.StringIO(csv_lines(rows), newline=""))
    assert [[original(cell) for cell in row] for row in parsed] == rows
