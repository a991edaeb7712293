"""What `explain` says of softmaxes that no planted defect was drawn from, wrong ones and honest ones."""

import pytest

from harness.explanation import explanation_of
from harness.subject.candidates import from_function
from harness.subject.execution import InProcess
from harness.subject.subject import Subject
from reference.formats import FORMATS
from tests.unseen import HONEST, UNSEEN

QUICK = (
    "tiles of 48 with a stale rescale",
    "numerators written by the maximum so far",
    "exp by a power of two built from bits",
)
"""Those that are asked in every run of the tests, in float32."""


def explained(softmax, fmt, tier=None):
    candidate = from_function(softmax.make(), softmax.name)
    with InProcess(load=lambda _: candidate) as executor:
        return explanation_of(Subject(candidate, FORMATS[fmt], FORMATS[fmt], executor), tier=tier)


def is_right(unseen, explanation):
    """Tell whether a right code is named, or none of what meets the tier all the same."""
    found = explanation.cause
    return not explanation.violations if found is None else found.code in unseen.codes


@pytest.mark.parametrize("unseen", [u for u in UNSEEN if u.name in QUICK], ids=lambda u: u.name)
def test_the_cause_of_an_unseen_defect_is_named(unseen):
    explanation = explained(unseen, "float32")
    assert explanation.cause is not None, explanation.line()
    assert explanation.cause.code in unseen.codes, explanation.line()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fmt", "said"),
    [
        ("every seventh block of 32 is skipped", "float32", "number 223 of 255;"),
        ("tiles of 48 with a stale rescale", "bfloat16", "blocks of 48 "),
        ("tiles of 96 whose last is not rescaled", "float16", "blocks of 96 "),
        ("blocks of 100 summed in bfloat16", "float64", "blocks of 100 "),
        ("numerators written by the maximum so far", "float64", "blocks of 40 "),
        ("outputs in 255ths", "float16", "multiples of 1/255;"),
        ("logits in whole thousandths", "float64", "multiples of 1/1000;"),
        ("exp cut at 30", "float64", "below about -30;"),
    ],
)
def test_its_place_is_said(name, fmt, said):
    explanation = explained(next(u for u in UNSEEN if u.name == name), fmt)
    assert said in explanation.line()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fmt", ["float16", "bfloat16", "float32", "float64"])
def test_no_unseen_defect_is_named_wrongly(fmt):
    for unseen in UNSEEN:
        if fmt in unseen.formats:
            explanation = explained(unseen, fmt)
            assert is_right(unseen, explanation), f"{unseen.name}: {explanation.line()}"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fmt", ["float16", "bfloat16", "float32", "float64"])
def test_an_unseen_honest_softmax_is_given_no_cause_and_its_order_is_seen(fmt):
    for honest in HONEST:
        if fmt in honest.formats:
            explanation = explained(honest, fmt, honest.tier)
            assert explanation.cause is None, f"{honest.name}: {explanation.line()}"
            assert not explanation.violations, f"{honest.name}: {explanation.line()}"
            facts = explanation.anatomy.part("sum").facts
            if honest.order and explanation.anatomy.bits is not None:
                assert honest.order in facts["order"], f"{honest.name}: {facts['order']}"
