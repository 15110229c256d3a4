import json
import math

import pytest

from dw_core.evaluation.results import LINE, finite, rounded, text


def test_figures_have_six_digits_and_whatever_else_stays():
    value = {"a": [1234.56789, 0.000123456789, 12], "b": {"c": "1.23456789", "d": None, "e": True}}
    assert rounded(value) == {"a": [1234.57, 0.000123457, 12], "b": {"c": "1.23456789", "d": None, "e": True}}
    assert math.isnan(rounded(float("nan"))) and rounded((1.0, 2)) == [1.0, 2]
    assert rounded(rounded(math.pi)) == rounded(math.pi) == 3.14159


def test_what_is_not_a_finite_number_is_null() -> None:
    value = {"a": [math.nan, 1.0, (math.inf,)], "b": {"c": -math.inf, "d": "NaN", "e": 3}}
    assert text(finite(value)) == '{"a":[null,1.0,[null]],"b":{"c":null,"d":"NaN","e":3}}'
    for one in (value, [value] * LINE):
        with pytest.raises(ValueError, match="JSON"):
            text(one)


def test_rows_have_lines_of_their_own_and_read_back():
    rows = [{"method": f"m{k}", "errors": [float(j) for j in range(40)]} for k in range(3)]
    value = {
        "results": rows,
        "short": {"a": [1, 2]},
        "nested": {"long": "x" * LINE, "rows": rows},
        "none": [],
    }
    found = text(value)
    assert json.loads(found) == value
    lines = found.splitlines()
    assert sum(line.startswith('{"method":') for line in lines) == 6 and '"short":{"a":[1,2]},' in lines
