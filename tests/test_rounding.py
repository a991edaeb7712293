"""The reference in a process that rounds otherwise: the same bits as in one that does not."""

from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import pytest

import reference
from reference import rounding as modes
from reference.formats import FORMATS, FloatFormat
from reference.rounding import is_to_nearest, to_nearest
from strategies.regimes import REGIMES
from tests.modes import flushing, rounding

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="writes x86's control word")

MODES: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "flushing": flushing,
    "up": lambda: rounding("up"),
    "down": lambda: rounding("down"),
    "to zero": lambda: rounding("to zero"),
}
each_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


@each_mode
def test_a_mode_is_noticed_and_given_back(mode: Callable[[], AbstractContextManager[None]]) -> None:
    assert is_to_nearest()
    with mode():
        assert not is_to_nearest()
        with to_nearest():
            assert is_to_nearest()
        assert not is_to_nearest()
    assert is_to_nearest()


@each_mode
@pytest.mark.parametrize("fmt", ["float32", "float64"])
def test_the_figures_are_those_of_the_default_mode(
    mode: Callable[[], AbstractContextManager[None]], fmt: str
) -> None:
    x = REGIMES["result-underflow"].rows(FORMATS[fmt], 16, 9, 3, 0)
    y = reference.correctly_rounded(x)
    y[:, ::2] = np.nextafter(y[:, ::2], np.ones_like(y[:, ::2]))
    subnormal = (y != 0) & (np.abs(y) < FORMATS[fmt].smallest_normal)
    assert subnormal.any()

    def figures() -> list[bytes]:
        return [
            reference.correctly_rounded(x).tobytes(),
            reference.correctly_rounded(x, method="mpmath").tobytes(),
            reference.ulp_errors(x, y, jobs=2).tobytes(),
            reference.ulp_errors(x, y, method="mpmath").tobytes(),
        ]

    expected = figures()
    with mode():
        found = figures()
    assert found == expected


def test_a_mode_that_cannot_be_changed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "_LIBM", None)
    with flushing(), pytest.raises(RuntimeError, match="rounds in another mode than to nearest"):
        reference.ulp_errors(np.zeros((1, 2)), np.full((1, 2), 0.5))


@each_mode
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_no_regime_tells_the_modes_apart(
    mode: Callable[[], AbstractContextManager[None]], fmt: FloatFormat
) -> None:
    """Outputs a step beside the correctly rounded ones, for subnormals, ties, masks, NaN, deep underflow."""
    for name, regime in REGIMES.items():
        for length in filter(lambda n: regime.supports(fmt, n), (1, 2, 9)):
            x = regime.rows(fmt, 4, length, 3, 0)
            expected = reference.correctly_rounded(x, fmt)
            beside = fmt.from_bits(fmt.to_bits(expected) ^ 1)
            errors = reference.ulp_errors(x, beside, fmt)
            with mode():
                found = reference.correctly_rounded(x, fmt), reference.ulp_errors(x, beside, fmt)
            assert found[0].tobytes() == expected.tobytes(), (name, length, x.astype(float).tolist())
            assert found[1].tobytes() == errors.tobytes(), (name, length, x.astype(float).tolist())
