"""Softmax functions with one thing wrong each, and right ones, for the tests of the gate."""

import os
import signal
import sys
import time

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
