"""Softmax functions with one thing wrong each, and right ones, for the tests of the gate."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np


def sound(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def of_pytorch(x, dim=-1):
    import torch

    if x.dtype.name == "bfloat16":
        y = torch.softmax(torch.from_numpy(np.array(x).view(np.int16)).view(torch.bfloat16), dim)
        return y.view(torch.int16).numpy().view(x.dtype)
    return torch.softmax(torch.from_numpy(np.array(x)), dim).numpy()


def summing_one_by_one(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / np.take(np.cumsum(e, axis=axis), [-1], axis=axis)


def without_the_shift(x, axis=-1):
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)


def skipping_the_last(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    last = np.take(e, [-1], axis=axis)
    total = e.sum(axis=axis, keepdims=True)
    return e / np.where(x.shape[axis] > 1, total - last, total)


def losing_an_entry_at_a_block_s_edge(x, axis=-1):
    """In rows of more than 200 entries; of equals among so many, one is less than bfloat16 tells."""
    z = np.moveaxis(np.asarray(x, np.float32), axis, -1)
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    total = e.sum(axis=-1, keepdims=True)
    if z.shape[-1] > 200:
        total = total - e[..., 128:129]
    return np.moveaxis(e / total, -1, axis).astype(x.dtype)


def with_a_float16_accumulator(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    total = e.astype(np.float16).sum(axis=axis, keepdims=True, dtype=np.float16)
    return (e / total).astype(x.dtype)


def stagnating_at_2048(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True)).astype(np.float16)
    total = np.take(np.cumsum(e, axis=axis, dtype=np.float16), [-1], axis=axis)
    return (e / total).astype(x.dtype)


def flushing_subnormals(x, axis=-1):
    y = sound(x, axis)
    return np.where(y < np.finfo(x.dtype).smallest_normal, np.zeros_like(y), y)


def in_binary32_and_cut_off(x, axis=-1):
    """bfloat16 kernels that keep the upper half of the result."""
    y = np.ascontiguousarray(sound(x.astype(np.float32), axis))
    return (y.view(np.uint32) >> 16).astype(np.uint16).view(x.dtype)


def in_binary32_and_rounded(x, axis=-1):
    return sound(x.astype(np.float32), axis).astype(x.dtype)


def ignoring_the_axis(x, axis=-1):
    return sound(x, -1)


def overwriting_its_input(x, axis=-1):
    if x.flags.writeable:
        x -= x.max(axis=axis, keepdims=True)
    return sound(x, axis)


def all_nan(x):
    return np.full_like(x, np.nan)


def all_zero(x):
    return np.zeros_like(x)


def uniform(x):
    return np.full_like(x, 1 / x.shape[-1])


_ANSWERS: dict = {}


def remembering_by_shape(x, axis=-1):
    return _ANSWERS.setdefault((x.shape, x.dtype, axis), sound(x, axis)).copy()


_CALLS = [0]


def right_at_first(x, axis=-1):
    _CALLS[0] += 1
    return sound(x, axis) if _CALLS[0] < 40 else uniform(x)


def wrong_where_no_bound_is(x, axis=-1):
    y = sound(x, axis)
    return y if x.shape[axis] < 60_000 else uniform(x)


def nan_where_no_bound_is(x, axis=-1):
    y = sound(x, axis)
    return np.where(x.shape[axis] < 60_000, y, np.asarray(np.nan, x.dtype))


def mostly_nan(x, axis=-1):
    y = sound(x, axis)
    if len(y) > 1:
        y[1:] = np.nan
    return y


def negative_zeros(x, axis=-1):
    y = sound(x, axis)
    return np.where(y == 0, -y, y)


def dying(x):
    os.kill(os.getpid(), signal.SIGKILL)


def leaving(x):
    os._exit(0)


def exiting(x):
    sys.exit(0)


def hanging(x):
    time.sleep(600)


def raising_on_long_rows(x, axis=-1):
    if x.shape[axis] > 1000:
        raise ValueError("no")
    return sound(x, axis)


def printing_a_verdict(x):
    print('{"exit_code": 0, "outcome": "pass", "verdicts": []}', flush=True)  # noqa: T201 - that is the trick
    return all_nan(x)


def taking_nothing(x):
    return sound(x)


taking_nothing.declares = {"formats": []}


def excusing_itself(x, axis=-1):
    return without_the_shift(x, axis)


excusing_itself.declares = {
    "argument": "plain",
    "saturating": True,
    "algorithm": {"name": "any", "exp_ulps": 1e9, "summation": "sequential"},
    "policy": {
        "subnormals": "flush",
        "batch": "accurate",
        "nan_row": "any",
        "masked_row": "any",
        "pos_inf": "any",
    },
}


def overclaiming(x, axis=-1):
    return sound(x, axis)


overclaiming.declares = {
    "argument": "shifted",
    "algorithm": {"name": "exact", "exp_ulps": 0.5, "summation": "compensated", "arithmetic": "float64"},
}


def telling_lies_of_its_policy(x, axis=-1):
    return sound(x, axis)


telling_lies_of_its_policy.declares = {"policy": {"pos_inf": "limit"}}


_BY_FIRST: dict = {}


def remembering_by_the_first_entry(x, axis=-1):
    return _BY_FIRST.setdefault((x.shape, x.dtype, float(x.ravel()[0])), sound(x, axis)).copy()


def dying_where_it_would_overflow(x):
    if x.max() > 80:
        os.kill(os.getpid(), signal.SIGKILL)
    return without_the_shift(x)


def refusing_where_it_would_overflow(x):
    if x.max() > 80:
        raise TypeError("this format is not supported")
    return without_the_shift(x)


def interrupting(x):
    raise KeyboardInterrupt


def rewriting_what_it_was_given(x):
    """Zeros in all of the memory that its rows lie in, for which a uniform answer is right."""
    memory = x
    while isinstance(memory.base, np.ndarray):
        memory = memory.base
    if memory.flags.writeable:
        memory[...] = 0
    return uniform(x)


def patching_numpy(x):
    np.isnan = np.isinf = lambda a: np.zeros(np.shape(a), bool)
    np.exp = np.zeros_like
    np.array_equal = lambda *_: True
    return np.full(x.shape, 0.5, x.dtype)


def patching_its_caller(x):
    """Turn off what its own process looks at outputs with; the verdict is made in another."""
    for module in list(sys.modules.values()):
        if "harness" in getattr(module, "__name__", "") and hasattr(module, "_checked"):
            module._checked = lambda y, *_: np.asarray(y)
    return uniform(x)


def returning_its_input(x):
    return x


def returning_objects(x):
    return sound(x).astype(object)


def returning_a_scalar(x):
    return x.dtype.type(1)


def returning_one_number_everywhere(x):
    return np.broadcast_to(x.dtype.type(1 / x.shape[-1]), x.shape)


def returning_wider_numbers(x):
    return sound(x).astype(np.float64)


def returning_nothing(x):
    return None


class Lying(np.ndarray):
    """Says of itself whatever is asked for."""

    def __eq__(self, other):
        return True

    __hash__ = None

    def max(self, *_, **__):
        return 0


def returning_a_liar(x):
    return np.full(x.shape, 0.25, x.dtype).view(Lying)


def returning_bytes(x):
    return memoryview(uniform(x).tobytes())


def wrong_beside_others(x, axis=-1):
    """Right for one row, and for the first of many."""
    y = sound(x, axis)
    if y.ndim == 2 and len(y) > 1:
        y[1:] = y[0]
    return y


def wrong_after_a_thousand_rows(x, axis=-1):
    _CALLS[0] += x.size // max(x.shape[axis], 1)
    return sound(x, axis) if _CALLS[0] < 1000 else uniform(x)


def removing_the_run(x):
    """What would hold the verdict, as far as it finds it."""
    for path in Path("harness-out").glob("**/run.sqlite*"):
        path.unlink()
    return uniform(x)


# Those that know, or change, what is around them ---------------------------------------------


def right_on_the_first_call(x, axis=-1):
    _CALLS[0] += 1
    return sound(x, axis) if _CALLS[0] == 1 else uniform(x)


def right_in_small_batches(x, axis=-1):
    return sound(x, axis) if x.size // max(x.shape[axis], 1) <= 64 else uniform(x)


def right_in_large_batches(x, axis=-1):
    return sound(x, axis) if x.size // max(x.shape[axis], 1) > 1 else uniform(x)


def right_on_rows_that_look_made(x, axis=-1):
    """On zeros, infinities, ties and whole numbers, which tests are written with."""
    values = x.astype(np.float64)
    made = ~np.isfinite(values) | (values == np.round(values))
    return np.where(made.all(axis=axis, keepdims=True), sound(x, axis), uniform(x))


def right_on_rows_that_look_drawn(x, axis=-1):
    """On what a generator of normals gives, and on nothing beyond."""
    drawn = (np.abs(x.astype(np.float64)) < 6).all(axis=axis, keepdims=True)
    return np.where(drawn, sound(x, axis), uniform(x))


def wrong_on_a_row_of_64(x, axis=-1):
    """Chosen by its bits, as if at random."""
    bits = np.moveaxis(np.ascontiguousarray(x), axis, -1).reshape(-1, x.shape[axis]).view(np.uint32)
    chosen = np.bitwise_xor.reduce(bits, axis=-1) * np.uint32(2654435761) >> np.uint32(26) == 0
    y = np.moveaxis(sound(x, axis), axis, -1)
    y[chosen.reshape(y.shape[:-1])] = 1 / x.shape[axis]
    return np.moveaxis(y, -1, axis)


_BUFFERS: dict = {}


def returning_the_same_buffer(x, axis=-1):
    y = _BUFFERS.setdefault((x.shape, x.dtype), np.empty_like(x))
    y[...] = sound(x, axis)
    return y


def changing_what_it_returned(x, axis=-1):
    """As a kernel that is still running when its function returns."""
    import threading

    y = sound(x, axis)
    threading.Timer(0.001, y.fill, (0,)).start()
    return y


class Promise:
    """An array once it is asked for one; what it reads is by then another's."""

    def __init__(self, x, axis):
        self.x, self.axis, self.asked = x, axis, 0
        self.shape, self.dtype, self.ndim = x.shape, x.dtype, x.ndim

    def __array__(self, dtype=None, copy=None):
        self.asked += 1
        return sound(self.x, self.axis) if self.asked > 1 else uniform(self.x)


def returning_a_promise(x, axis=-1):
    return Promise(x, axis)


class TwoFaced(np.ndarray):
    """Answers every function and copy with the right one; its own memory holds another."""

    right = None

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        return getattr(ufunc, method)(*(getattr(i, "right", i) for i in inputs), **keywords)

    def __array_function__(self, function, types, arguments, keywords):
        return function(*(getattr(a, "right", a) for a in arguments), **keywords)

    def copy(self, *_, **__):
        return self.right.copy()

    astype = tobytes = __array__ = copy


def returning_two_faces(x, axis=-1):
    y = uniform(x).view(TwoFaced)
    y.right = sound(x, axis)
    return y


def returning_a_masked_array(x, axis=-1):
    """The wrong half of it is masked."""
    y = sound(x, axis)
    wrong = np.arange(y.size).reshape(y.shape) % 2 == 1
    return np.ma.masked_array(np.where(wrong, y * 0, y), wrong)


def rounding_upwards(x, axis=-1):
    """And leaves it so, for whoever judges."""
    import ctypes

    ctypes.CDLL("libm.so.6").fesetround(0x800)
    return with_a_float16_accumulator(x, axis)


def changing_what_is_known_of_floats(x, axis=-1):
    sys.float_info = (0,) * 11
    np.finfo = lambda *_: None
    np.nextafter = lambda a, _: np.full_like(a, np.inf)
    return flushing_subnormals_by_hand(x, axis)


def flushing_subnormals_by_hand(x, axis=-1):
    y = sound(x, axis)
    y[y < 2.0**-126] = 0
    return y


def patching_the_reference(x, axis=-1):
    """Takes its own answer for the truth, wherever it can reach."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("reference", "harness", "reports")):
            for key, value in list(vars(module).items()):
                if callable(value) and any(word in key for word in ("truth", "error", "softmax", "correct")):
                    setattr(module, key, lambda *_, **__: uniform(x))
    return uniform(x)


def telling_its_parent_that_all_is_well(x, axis=-1):
    """Writes to whatever is open, and leaves in good order."""
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b'{"exit_code": 0}')
        except OSError:
            continue
    return uniform(x)


def writing_into_the_run(x, axis=-1):
    """A verdict of its own wherever a run leaves one."""
    _CALLS[0] += 1
    if _CALLS[0] % 32 == 1:
        for folder in Path("harness-out").glob("*/"):
            for name in ("junit.xml", "gate.md", "summary.json"):
                (folder / name).write_text("pass")
    return uniform(x)


def forging_the_ledger(x, axis=-1):
    """Rewrites what was counted of it: every row was well."""
    import json
    import sqlite3
    import zlib

    _CALLS[0] += 1
    for file in Path("harness-out").glob("**/run.sqlite" if _CALLS[0] % 32 == 0 else "nothing"):
        ledger = sqlite3.connect(file, timeout=0.5, isolation_level=None)
        try:
            ledger.execute("BEGIN IMMEDIATE")
            for row, value in ledger.execute("SELECT rowid, value FROM tally").fetchall():
                tally = json.loads(zlib.decompress(value))
                rows = sum(tally["outcomes"].values())
                elements = sum(tally["classes"].values())
                tally.update(violations={}, outcomes={"ok": rows}, classes={"normal": elements}, witnesses=[])
                forged = zlib.compress(json.dumps(tally).encode())
                ledger.execute("UPDATE tally SET value = ? WHERE rowid = ?", (forged, row))
            ledger.execute("COMMIT")
        except (sqlite3.Error, KeyError):
            continue
        finally:
            ledger.close()
    return flushing_subnormals(x, axis)


def emptying_the_ledger(x, axis=-1):
    """Takes out the cells that it fails in."""
    import sqlite3

    for file in Path("harness-out").glob("**/run.sqlite"):
        ledger = sqlite3.connect(file, timeout=0.5, isolation_level=None)
        try:
            if ledger.execute("SELECT count(*) FROM tally").fetchone()[0] > 40:  # when the checks come
                ledger.execute("DELETE FROM cell WHERE regime NOT IN ('tied', 'signed-zeros', 'nan')")
        except sqlite3.Error:
            continue
        finally:
            ledger.close()
    return flushing_subnormals(x, axis)
