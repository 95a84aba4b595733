from typing import NamedTuple


class Comparison(NamedTuple):
    difference: float
    standard_error: float
    df: float
    low: float
    high: float
    p: float
    units: int
    each: tuple


def compare(a, b, metric, *, unit="seed"):
    raise NotImplementedError
