"""Record the logits of two small networks on handwritten digits: `python -m strategies.corpora.make_digits`.

It needs scikit-learn (the `dev` extra), and writes `digits.npz` beside itself. Both networks
have one hidden layer and are trained by stochastic gradient descent on the first 1200
digits; logits are recorded on the rest.

* sane: rectified units, step size 0.1, 40 epochs; the logits of all 597 held-out digits.
* exploding: linear units (rectified ones die before they explode), step size 1; after each
  of 36 minibatches the logits of 16 held-out digits, as they grow from 1e1 to about 1e40,
  past the ends of float16 and of float32, and stay finite in float64.

The recorded file is the corpus. Running this again on other hardware gives logits that
differ in their last digits, and more in the exploding network, which amplifies them.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np

from strategies.corpora.digits import DATA
from strategies.source import F64

__all__ = ["main", "record"]

_TRAINED_ON: Final = 1200
_BATCH: Final = 100
_BRIGHTEST: Final = 16.0
_STEPS: Final = 36
_DIGITS_A_STEP: Final = 16


def record() -> dict[str, Any]:
    """Train both networks and return the arrays of `digits.npz`."""
    images, digits = _images()
    held_out = np.arange(_TRAINED_ON, len(images))
    sane = _sane_network(images[:_TRAINED_ON], digits[:_TRAINED_ON])
    logits = _logits(sane, images[held_out])
    return {"sane_digit": held_out, "sane_logits": logits, **_exploding(images, digits)}


def main() -> None:
    """Write `digits.npz`."""
    np.savez(DATA, **record())


def _images() -> tuple[F64, Any]:
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    return images / _BRIGHTEST, digits


def _network(activation: str, step_size: float, **settings: Any) -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        (64,),
        activation=activation,
        solver="sgd",
        learning_rate_init=step_size,
        batch_size=_BATCH,
        random_state=0,
        **settings,
    )


def _sane_network(images: F64, digits: Any) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    network = _network("relu", 0.1, max_iter=40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return network.fit(images, digits)


def _exploding(images: F64, digits: Any) -> dict[str, Any]:
    network = _network("identity", 1.0)
    batches, held_out = _TRAINED_ON // _BATCH, len(images) - _TRAINED_ON
    step_of, digit_of, logits = [], [], []
    for step in range(_STEPS):
        batch = slice(step % batches * _BATCH, (step % batches + 1) * _BATCH)
        network.partial_fit(images[batch], digits[batch], classes=range(10))
        chosen = _TRAINED_ON + (step * _DIGITS_A_STEP + np.arange(_DIGITS_A_STEP)) % held_out
        step_of.append(np.full(_DIGITS_A_STEP, step + 1))
        digit_of.append(chosen)
        logits.append(_logits(network, images[chosen]))
    names = ("exploding_step", "exploding_digit", "exploding_logits")
    return dict(zip(names, map(np.concatenate, (step_of, digit_of, logits)), strict=True))


def _logits(network: Any, images: F64) -> F64:
    """Return what the network would pass to softmax."""
    hidden = images @ network.coefs_[0] + network.intercepts_[0]
    if network.activation == "relu":
        hidden = np.maximum(hidden, 0.0)
    logits: F64 = hidden @ network.coefs_[1] + network.intercepts_[1]
    return logits


if __name__ == "__main__":
    main()
