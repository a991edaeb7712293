"""Which functions a native library exports, read from its file: ELF, as Linux and the BSDs have it.

Standard library alone: a worker loads this file by its path.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["exported_functions"]

_MAGIC: Final = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_DYNAMIC_SYMBOLS: Final = 11  # SHT_DYNSYM
_FUNCTION: Final = 2  # STT_FUNC
_HIDDEN_START: Final = "_"  # _init, _fini and the compiler's own


def exported_functions(file: Path) -> list[str]:
    """Return the names of the functions that a library exports; none where the file is of another kind."""
    try:
        data = file.read_bytes()
        return sorted(set(_functions(data))) if data.startswith(_MAGIC) else []
    except (OSError, struct.error, IndexError, UnicodeDecodeError):
        return []


def _functions(data: bytes) -> Iterator[str]:
    (table_at,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, table_at + size * k) for k in range(count)]
    for _, kind, _, _, at, length, strings, _, _, entry in sections:
        if kind != _DYNAMIC_SYMBOLS:
            continue
        names_at = sections[strings][4]
        for place in range(at, at + length, entry):
            name, info, _, section = struct.unpack_from("<IBBH", data, place)
            if info & 0xF == _FUNCTION and section:
                start = names_at + name
                text = data[start : data.index(b"\0", start)].decode()
                if not text.startswith(_HIDDEN_START):
                    yield text
