"""The regimes, one module for each family.

To add one, add a module here with a tuple `REGIMES`; it is found by scanning this folder.
Nothing registers itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from strategies.regime import Regime

__all__ = ["REGIMES", "Regime", "regime_named"]


def _found() -> Iterator[Regime]:
    for module in sorted(iter_modules(__path__), key=lambda found: found.name):
        yield from import_module(f"{__name__}.{module.name}").REGIMES


def _by_name() -> Mapping[str, Regime]:
    found = sorted(_found(), key=lambda regime: regime.policy)
    names = [regime.name for regime in found]
    assert len(set(names)) == len(names), f"two regimes of one name in {names}"
    return MappingProxyType(dict(zip(names, found, strict=True)))


REGIMES: Mapping[str, Regime] = _by_name()
"""Every regime by name: by module, in the order of each module's tuple, policy regimes last."""


def regime_named(name: str) -> Regime:
    """Return the regime of that name.

    Raises:
        ValueError: there is none.
    """
    if name in REGIMES:
        return REGIMES[name]
    close = get_close_matches(name, REGIMES, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"it is one of {', '.join(REGIMES)}"
    raise ValueError(f"regime {name!r}: there is none of that name; {hint}")
