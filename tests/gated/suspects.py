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
