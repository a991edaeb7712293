"""How a candidate is called, the same in a worker as in process.

Every call starts from the state that the candidate's import left, and restores it: the
floating-point environment (rounding mode, flush to zero), NumPy's error state and the
working folder. The outputs are checked for shape and dtype, and every exception becomes a
`CallFailed`. The module is light on purpose, since a worker imports this file by path: it needs
NumPy, ml_dtypes for some formats, and none of the rooms.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import mmap
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "OFTEN",
    "THREAD_CALLS",
    "CallFailed",
    "FaultKind",
    "Loaded",
    "Mode",
    "Presentation",
    "Reducing",
    "Watched",
    "call",
    "changed_rows",
    "describe",
    "dtype_named",
    "in_mode",
    "keep_freed_memory",
    "mode",
    "name_of",
    "outputs_shape",
    "page_aligned_copy",
    "undisturbed",
]

Array = NDArray[Any]

Presentation = Literal[
    "plain",
    "watched",
    "read_only",
    "strided",
    "reversed",
    "fortran",
    "vectors",
    "singly",
    "cube",
    "four_axes",
    "transposed",
    "only_axis",
    "first_axis",
    "last_axis",
    "first_from_the_end",
    "first_of_cube",
    "middle_of_cube",
    "last_of_cube",
    "middle_from_the_end",
    "first_of_cube_from_the_end",
    "first_of_four",
    "second_of_four",
    "third_of_four",
    "last_of_four",
    "third_from_the_end",
    "second_from_the_end",
    "first_of_four_from_the_end",
    "pitched",
    "amid",
    "empty",
    "kept",
    "often",
    "halves",
    "two_threads",
]
"""How rows (k, n) are presented to the candidate, in this order: a C-contiguous array that it may write to;
the same, checked for changes afterwards; a read-only array; every second column of a wider array; negative
strides; Fortran order; vectors (n,), one by one; rows (1, n), one by one; (a, b, n) with a b = k; (a, b, c,
n) with a b c = k; (a, b, n) transposed in memory. The next are C-contiguous and pass the axis by keyword: 0
for vectors; 0, 1, -2 for matrices; 0, 1, 2, -2, -3 for three axes; 0, 1, 2, 3, -2, -3, -4 for four. Then:
contiguous rows with gaps between them; a C-contiguous array anywhere in memory, which nothing may be
written around; rows after an empty batch (0, n), whose output must have that shape; outputs read only after
other calls; `OFTEN` calls, up to the first output that differs from the first; the first half of the rows
and then the second; and both halves at once, each `THREAD_CALLS` times or more in a thread of its own, up
to the first output that differs from that of a single thread. The memory between and around the rows holds
NaN, so that a candidate that reads it gives NaN."""

FaultKind = Literal[
    "crashed",
    "timed_out",
    "raised",
    "wrong_shape",
    "wrong_dtype",
    "unsupported",
    "out_of_memory",
    "not_tried",
]
"""What went wrong. Rows that are `not_tried` were never called; a worker never reports that kind."""

FENV_BYTES = 256  # fenv_t is 8 to 32 bytes on the platforms that NumPy supports
LARGEST_KEPT = (32 << 20) - (1 << 16)
OTHER_FORMATS = ("float32", "float64", "float16")
PITCH = 5
AROUND = 67  # elements, no multiple of a vector, so that no row is aligned to vectors

OFTEN = 100
"""Calls in succession: an event of one call in twenty happens in these with probability 99.4 %."""

THREAD_CALLS = 40
"""The least calls of each of two threads: each continues until the other has made as many."""

OVERLAPS = 8
"""The least calls during which the other thread ended one. Both ran at the same time then."""

FEW_OVERLAP_CALLS = 4 * THREAD_CALLS
"""Calls of each thread that are enough, however few overlap. Few do where rows are short."""

MOST_THREAD_CALLS = 20 * THREAD_CALLS
SWITCH_SECONDS = 2e-5
"""The interval after which one thread lets another run Python; Python's own is 5 ms."""


class Loaded(Protocol):
    """A candidate to call: a function and its axis keyword."""

    @property
    def call(self) -> Callable[..., Any]:
        """The function."""

    @property
    def axis_parameter(self) -> str | None:
        """Its keyword for the axis; None where it works on the last axis only."""


class CallFailed(Exception):
    """A call gave no usable output.

    Attributes:
        kind: `raised`, `wrong_shape`, `wrong_dtype`, `unsupported` or `out_of_memory`.
        message: one line.
    """

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class Watched:
    """A candidate that announces each call before it is made.

    Args:
        candidate: what to call.
        announce: called before every call.
    """

    def __init__(self, candidate: Loaded, announce: Callable[[], None]) -> None:
        self._candidate = candidate
        self._announce = announce
        self.axis_parameter = candidate.axis_parameter

    def call(self, *arguments: Any, **keywords: Any) -> Any:
        """Announce the call and make it."""
        self._announce()
        return self._candidate.call(*arguments, **keywords)


class Reducing:
    """A candidate with one result a row, which comes back with the axis kept, of length 1.

    Args:
        candidate: what to call.
    """

    reduces = True

    def __init__(self, candidate: Loaded) -> None:
        self._candidate = candidate
        self.axis_parameter = candidate.axis_parameter

    def call(self, x: Array, **keywords: int) -> Any:
        """Make the call.

        Raises:
            CallFailed: it returned another shape than that of the rows.
        """
        y = _array(self._candidate.call(x, **keywords))
        axis = next(iter(keywords.values()), -1)
        if y.shape != _without(x.shape, axis):
            raise CallFailed(
                "wrong_shape",
                f"returned shape {y.shape} for an input of shape {x.shape}: its op gives one number a row,"
                f" so {_without(x.shape, axis)} was asked for",
            )
        return np.expand_dims(y, axis)


@functools.cache
def name_of(dtype: np.dtype[Any]) -> str:
    """Return the name of a dtype; NumPy computes it anew each time, which takes 5 us."""
    return dtype.name


@functools.cache
def dtype_named(name: str) -> np.dtype[Any]:
    """Return the dtype of that name from NumPy or ml_dtypes."""
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return dtype


def keep_freed_memory() -> None:
    """Make glibc keep temporaries of megabytes after a call, not return them to the system.

    Freeing a block raises glibc's thresholds to the block's size, 32 MiB at most (mallopt(3),
    M_MMAP_THRESHOLD). Without this, page faults may take longer than a fast candidate does, depending on
    which blocks the process has freed before.
    """
    np.empty(LARGEST_KEPT, dtype=np.uint8)


def page_aligned_copy(x: Array) -> Array:
    """Return a copy that starts on a page, as rows in shared memory do.

    So a library whose results depend on alignment gives the same in both executors.
    """
    memory = np.empty(x.nbytes + mmap.PAGESIZE, dtype=np.uint8)
    first = -memory.ctypes.data % mmap.PAGESIZE
    copy: Array = memory[first : first + x.nbytes].view(x.dtype).reshape(x.shape)
    copy[...] = x
    return copy


def changed_rows(x: Array, original: Array) -> NDArray[np.bool_]:
    """Return which rows of C-contiguous x differ, bit for bit, from those of the original."""
    now, before = x.view(np.uint8), original.view(np.uint8)
    return np.asarray((now != before).any(axis=1))


def call(
    candidate: Loaded,
    x: Array,
    out_dtype: np.dtype[Any],
    presentation: Presentation = "plain",
    *,
    reduces: bool = False,
) -> Array:
    """Return the candidate's outputs for rows x: (rows, n), or (rows, 1) if it reduces, of the dtype asked.

    Args:
        candidate: what to call.
        x: rows of shape (rows, n), C-contiguous, which the candidate may overwrite.
        out_dtype: the dtype that its outputs must have.
        presentation: how x is presented to it.
        reduces: whether it has one result a row, without an axis of its own.

    Raises:
        CallFailed: it raised, or returned another shape or dtype.
        KeyboardInterrupt: the user interrupted, in process.
    """
    if reduces:
        candidate = Reducing(candidate)
    try:
        y = _present(candidate, x, presentation)
    except (CallFailed, KeyboardInterrupt):
        raise
    except MemoryError as error:
        raise CallFailed("out_of_memory", describe(error)) from error
    except BaseException as error:  # SystemExit too is a finding
        kind: FaultKind = "unsupported" if _refuses_format(candidate, x) else "raised"
        raise CallFailed(kind, describe(error)) from error
    return _checked(y, _result_shape(candidate, x.shape), out_dtype)


def outputs_shape(x: tuple[int, ...], *, reduces: bool) -> tuple[int, ...]:
    """Return the shape of the outputs of rows of shape x."""
    return (*x[:-1], 1) if reduces else x


def _result_shape(candidate: Loaded, x: tuple[int, ...], axis: int = -1) -> tuple[int, ...]:
    """Return the shape of what a call with an array of shape x gives."""
    if not isinstance(candidate, Reducing):
        return x
    shape = list(x)
    shape[axis] = 1
    return tuple(shape)


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return tuple(np.delete(shape, axis).tolist())


def describe(error: BaseException) -> str:
    """Return type and first line of an exception."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a candidate's own exception class may fail as well
        text = ""
    first = text.strip().split("\n", 1)[0][:300]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _present(candidate: Loaded, x: Array, presentation: Presentation) -> Any:
    if presentation in _SEQUENCES:
        return _SEQUENCES[presentation](candidate, x)
    arrange, axis = _ARRANGEMENTS[presentation]
    _require_axis(candidate, axis)
    return _arranged(candidate, x, arrange(x), axis)


def _require_axis(candidate: Loaded, axis: int) -> None:
    if axis != -1 and candidate.axis_parameter is None:
        raise CallFailed("unsupported", "it takes no axis")


def _arranged(candidate: Loaded, x: Array, arranged: Array, axis: int) -> Any:
    """Call with rows x in another arrangement; return the outputs in that of x."""
    y = _invoke(candidate, arranged, axis)
    if y.shape != _result_shape(candidate, arranged.shape, axis):
        where = "" if axis == -1 else f", axis {axis}"
        is_reduced = y.shape == _without(arranged.shape, axis)
        told = ": one number a row; if it computes logsumexp, add --op logsumexp" if is_reduced else ""
        raise CallFailed(
            "wrong_shape", f"returned shape {y.shape} for an input of shape {arranged.shape}{where}{told}"
        )
    return (y if axis == -1 else np.moveaxis(y, axis, -1)).reshape(_result_shape(candidate, x.shape))


def _amid(candidate: Loaded, x: Array) -> Any:
    """Call with rows in the middle of other memory, and check that this is unchanged."""
    memory = _nans((x.size + 2 * AROUND,), x.dtype)
    middle = memory[AROUND:-AROUND].reshape(x.shape)
    middle[...] = x
    around = (memory[:AROUND], memory[-AROUND:])
    before = [part.tobytes() for part in around]
    y = _arranged(candidate, x, middle, -1)
    if [part.tobytes() for part in around] != before:
        raise CallFailed("raised", "it wrote to memory beside the rows that it was given")
    return y


def _kept(candidate: Loaded, x: Array) -> Any:
    """Call, call again with other rows, and return the first output as it is then.

    No entry of the other rows is less than all of these, or greater: a kernel may be made for a range.
    """
    y = _arranged(candidate, x, x, -1)
    finite = x[np.isfinite(x)]
    near_zero = min(max(x.dtype.type(0), finite.min()), finite.max()) if finite.size else x.dtype.type(0)
    _invoke(candidate, np.full_like(x, near_zero), -1)
    _invoke(candidate, np.ascontiguousarray(x[::-1, ::-1]), -1)
    return y


def _vectors(candidate: Loaded, x: Array, axis: int = -1) -> Any:
    _require_axis(candidate, axis)
    return np.stack([_arranged(candidate, row, row, axis) for row in x])


def _singly(candidate: Loaded, x: Array) -> Any:
    """Call with one row (1, n) after the other, each with none beside it in memory."""
    own = page_aligned_copy(x[:1])
    return np.concatenate([_fresh(candidate, row, own).copy() for row in x[:, None]])


def _after_an_empty_batch(candidate: Loaded, x: Array) -> Any:
    nothing = _invoke(candidate, x[:0], -1)
    if nothing.shape != _result_shape(candidate, (0, x.shape[1])):
        shape = (0, x.shape[1])
        raise CallFailed("wrong_shape", f"returned shape {nothing.shape} for an empty batch of shape {shape}")
    y = _arranged(candidate, x, x, -1)
    if nothing.dtype != y.dtype:
        raise CallFailed("wrong_dtype", f"returned {nothing.dtype} for an empty batch, {y.dtype} for another")
    return y


# Call after call, and at once -----------------------------------------------------------


def _often(candidate: Loaded, x: Array) -> Any:
    """Call `OFTEN` times; return the output that first differs from the first output, else the first.

    The state is restored once, at the end, because calls with few entries would otherwise cost much more.
    """
    first = _fresh(candidate, x).copy()
    bits, own, keywords = first.tobytes(), page_aligned_copy(x), _keywords(candidate, -1)
    with undisturbed(), np.errstate(all="ignore"):
        for _ in range(OFTEN - 1):
            own[...] = x
            y = _array(candidate.call(own, **keywords))
            if y.shape != first.shape or (y.tobytes() != bits and not _same(y, first)):
                return y
    return first


def _fresh(candidate: Loaded, x: Array, own: Array | None = None) -> Array:
    """Call with a copy of the rows, which the candidate may overwrite."""
    if own is None:
        own = page_aligned_copy(x)
    own[...] = x
    y: Array = _arranged(candidate, own, own, -1)
    return y


def _same(y: Array, other: Array) -> bool:
    """Return whether two arrays agree in each element: the same bits, or NaN in both."""
    if y.dtype != other.dtype:
        return False
    a, b = np.ascontiguousarray(y), np.ascontiguousarray(other)
    bits = f"u{a.itemsize}"
    equal = a.view(bits) == b.view(bits)
    return bool(equal.all() or (equal | (np.isnan(a) & np.isnan(b))).all())


def _halves(x: Array) -> tuple[Array, Array]:
    """Return the first half of the rows and as many last ones; of a single row, the row and its reverse."""
    if len(x) == 1:
        return x, np.ascontiguousarray(x[:, ::-1])
    half = -(-len(x) // 2)
    return x[:half], x[-half:]


def _whole(x: Array, first: Array, second: Array) -> Array:
    """Return the outputs of rows from those of their halves."""
    return np.concatenate([first, second[2 * len(first) - len(x) :]])[: len(x)]


def _one_after_the_other(candidate: Loaded, x: Array) -> Any:
    return _whole(x, *(_fresh(candidate, part).copy() for part in _halves(x)))


def _at_once(candidate: Loaded, x: Array) -> Any:
    """Call with each half in a thread of its own; return an output that differs from one thread's, if any."""
    parts = _halves(x)
    expected = [_fresh(candidate, part).copy() for part in parts]
    outputs = list(expected)
    errors: list[BaseException] = []
    begin, end = threading.Barrier(len(parts)), threading.Event()
    calls, overlapping = [0] * len(parts), [0] * len(parts)

    def goes_on(which: int) -> bool:
        least = THREAD_CALLS if sum(overlapping) >= OVERLAPS else FEW_OVERLAP_CALLS
        return not end.is_set() and min(calls) < least and calls[which] < MOST_THREAD_CALLS

    def work(which: int) -> None:
        own = page_aligned_copy(parts[which])
        try:
            begin.wait()
            while goes_on(which):
                before = calls[1 - which]
                y = _fresh(candidate, parts[which], own)
                calls[which] += 1
                overlapping[which] += calls[1 - which] != before
                if not _same(y, expected[which]):
                    outputs[which] = y.copy()
                    end.set()
        except BaseException as error:  # noqa: BLE001 - raised where the thread is joined
            errors.append(error)
            end.set()

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(len(parts))]
    with _switching_often():
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        finally:
            end.set()
    if errors:
        raise CallFailed("raised", f"called from two threads at once: {_message(errors[0])}") from errors[0]
    return _whole(x, *outputs)


def _message(error: BaseException) -> str:
    return error.message if isinstance(error, CallFailed) else describe(error)


@contextlib.contextmanager
def _switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


# Arrangements ---------------------------------------------------------------------------


def _nans(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return np.full(shape, np.nan).astype(dtype)


def _read_only(x: Array) -> Array:
    view = x.view()
    view.flags.writeable = False
    return view


def _strided(x: Array) -> Array:
    wide = _nans((x.shape[0], 2 * x.shape[1]), x.dtype)
    wide[:, ::2] = x
    return wide[:, ::2]


def _pitched(x: Array) -> Array:
    wide = _nans((x.shape[0], x.shape[1] + PITCH), x.dtype)
    wide[:, : x.shape[1]] = x
    return wide[:, : x.shape[1]]


def _reversed(x: Array) -> Array:
    return np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]


def _cube(x: Array) -> Array:
    """Return rows (k, n) as (a, b, n), a the greatest divisor of k up to its root."""
    return x.reshape(*_factors(len(x)), x.shape[1])


def _four(x: Array) -> Array:
    """Return rows (k, n) as (a, b, c, n), b c the greater of the factors in `_cube`."""
    a, rest = _factors(len(x))
    return x.reshape(a, *_factors(rest), x.shape[1])


def _factors(rows: int) -> tuple[int, int]:
    a = next(d for d in range(math.isqrt(rows), 0, -1) if rows % d == 0)
    return a, rows // a


def _moved(x: Array, axis: int) -> Array:
    return np.ascontiguousarray(np.moveaxis(x, -1, axis))


_ARRANGEMENTS: dict[str, tuple[Callable[[Array], Array], int]] = {
    "plain": (lambda x: x, -1),
    "watched": (lambda x: x, -1),
    "read_only": (_read_only, -1),
    "strided": (_strided, -1),
    "reversed": (_reversed, -1),
    "fortran": (np.asfortranarray, -1),
    "cube": (_cube, -1),
    "four_axes": (_four, -1),
    "transposed": (lambda x: np.ascontiguousarray(_cube(x).T).T, -1),
    "first_axis": (lambda x: _moved(x, 0), 0),
    "last_axis": (lambda x: x, 1),
    "first_from_the_end": (lambda x: _moved(x, 0), -2),
    "first_of_cube": (lambda x: _moved(_cube(x), 0), 0),
    "middle_of_cube": (lambda x: _moved(_cube(x), 1), 1),
    "last_of_cube": (_cube, 2),
    "middle_from_the_end": (lambda x: _moved(_cube(x), 1), -2),
    "first_of_cube_from_the_end": (lambda x: _moved(_cube(x), 0), -3),
    "first_of_four": (lambda x: _moved(_four(x), 0), 0),
    "second_of_four": (lambda x: _moved(_four(x), 1), 1),
    "third_of_four": (lambda x: _moved(_four(x), 2), 2),
    "last_of_four": (_four, 3),
    "third_from_the_end": (lambda x: _moved(_four(x), 2), -2),
    "second_from_the_end": (lambda x: _moved(_four(x), 1), -3),
    "first_of_four_from_the_end": (lambda x: _moved(_four(x), 0), -4),
    "pitched": (_pitched, -1),
}
"""The function that arranges rows (k, n), and the axis, by presentation."""

_SEQUENCES: dict[str, Callable[[Loaded, Array], Any]] = {
    "vectors": _vectors,
    "singly": _singly,
    "only_axis": lambda candidate, x: _vectors(candidate, x, 0),
    "amid": _amid,
    "empty": _after_an_empty_batch,
    "kept": _kept,
    "often": _often,
    "halves": _one_after_the_other,
    "two_threads": _at_once,
}
"""The function that makes several calls for rows (k, n), by presentation."""


def _invoke(candidate: Loaded, x: Array, axis: int) -> Any:
    with undisturbed(), np.errstate(all="ignore"):  # infinities are judged, not warned of
        return _array(candidate.call(x, **_keywords(candidate, axis)))


def _array(y: Any) -> Array:
    """Return an output as a plain array, without the methods of a subclass."""
    ma = sys.modules.get("numpy.ma")  # an import now would see NumPy as the candidate changed it
    if ma and isinstance(y, ma.MaskedArray) and (masked := int(np.count_nonzero(ma.getmaskarray(y)))):
        raise CallFailed(
            "wrong_dtype", f"returned an array with {masked} of {y.size} entries masked, which hold no number"
        )
    return np.asarray(y)


def _keywords(candidate: Loaded, axis: int) -> dict[str, int]:
    return {candidate.axis_parameter: axis} if candidate.axis_parameter else {}


def _refuses_format(candidate: Loaded, x: Array) -> bool:
    """Return whether it refuses a row of zeros in this format and takes one in another."""
    if _takes_zeros(candidate, x.shape[1], x.dtype):
        return False
    others = (np.dtype(name) for name in OTHER_FORMATS)
    return any(_takes_zeros(candidate, x.shape[1], other) for other in others if other != x.dtype)


def _takes_zeros(candidate: Loaded, length: int, dtype: np.dtype[Any]) -> bool:
    try:
        _invoke(candidate, np.zeros((1, length), dtype=dtype), -1)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - any refusal is an answer
        return False
    return True


def _checked(y: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    array = np.asarray(y)
    if array.shape != shape:
        raise CallFailed("wrong_shape", f"returned shape {array.shape} for an input of shape {shape}")
    if array.dtype != dtype:
        told = f"returned {array.dtype} where {dtype} was asked for{_hint(array.dtype, dtype)}"
        raise CallFailed("wrong_dtype", told)
    return array


def _hint(returned: np.dtype[Any], wanted: np.dtype[Any]) -> str:
    if returned.newbyteorder("=") == wanted:
        return f"; its bytes are in the other order; return y.astype({wanted.name!r})"
    return f"; --out-format {returned.name} takes it" if _is_format(returned) else ""


def _is_format(dtype: np.dtype[Any]) -> bool:
    return dtype.name in ("float16", "float32", "float64") or dtype.name.startswith(("bfloat16", "float8_"))


# State -----------------------------------------------------------------------------------


Mode = ctypes.Array[ctypes.c_char]
"""A floating-point environment, as C's fenv_t."""


def mode() -> Mode | None:
    """Return the floating-point environment of this thread; None where it cannot be read."""
    environment = ctypes.create_string_buffer(FENV_BYTES)
    if _LIBM is None:
        return None
    _LIBM.fegetenv(environment)
    return environment


def set_mode(environment: Mode | None) -> None:
    """Set the floating-point environment of this thread; None leaves it as it is."""
    if _LIBM is not None and environment is not None:
        _LIBM.fesetenv(environment)


@contextlib.contextmanager
def in_mode(environment: Mode | None) -> Iterator[None]:
    """Compute in this environment, if there is one, and restore the one before."""
    before = None if environment is None else mode()
    set_mode(environment)
    try:
        yield
    finally:
        set_mode(before)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Restore the floating-point environment and the working folder on exit."""
    environment, folder = mode(), _working_folder()
    try:
        yield
    finally:
        set_mode(environment)
        if folder is not None and folder != _working_folder():
            with contextlib.suppress(OSError):  # it was removed
                os.chdir(folder)


def _working_folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - once a call; Path costs ten times as much
    except OSError:  # it was removed
        return None


def _math_library() -> ctypes.CDLL | None:
    for name in (None, "libm.so.6", "libm.dylib"):
        with contextlib.suppress(OSError, AttributeError, TypeError):
            library = ctypes.CDLL(name)
            library.fegetenv.argtypes = library.fesetenv.argtypes = [ctypes.c_void_p]
            return library
    return None


_LIBM = _math_library()
