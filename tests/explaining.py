"""The parts of a softmax, and its cause, without the command around them."""

import json
from pathlib import Path

import numpy as np

from harness.explanation import Questions, anatomy_of, explanation_of
from harness.selftest.suite import planted
from harness.subject.candidates import from_function, load
from harness.subject.execution import InProcess
from harness.subject.subject import Subject
from reference.formats import FORMATS


def subject_of(candidate, executor, format="float32"):
    return Subject(candidate, FORMATS[format], FORMATS[format], executor)


def parts_of(spec, format="float32"):
    """Return the parts by name, as JSON gives them."""
    candidate = load(spec)
    with InProcess() as executor, np.errstate(all="ignore"):
        anatomy = anatomy_of(Questions(subject_of(candidate, executor, format)))
    return {part["part"]: part for part in json.loads(json.dumps(anatomy.document()))["parts"]}


def parts_in(folder: Path, source: str):
    """Return what asks for the parts of functions of a source file that is written to a folder."""
    (folder / "mine.py").write_text(source)
    return lambda name, fmt="float32": parts_of(f"{folder / 'mine.py'}:{name}", fmt)


def asking(function, of, format="float32"):
    """Return what a function of questions finds out of a softmax that is a function of this process."""
    candidate = from_function(function)
    with InProcess(load=lambda _: candidate) as executor, np.errstate(all="ignore"):
        return of(Questions(subject_of(candidate, executor, format)))


def explained(suspect):
    """Return the explanation of a planted defect or a control."""
    candidate = suspect.candidate()
    with InProcess(load=lambda _: candidate) as executor:
        return explanation_of(subject_of(candidate, executor, suspect.format.name), tier=suspect.tiers[0])


def instance(name, format="float32"):
    """Return the first planted instance of a defect in a format."""
    return next(i for i in planted(0) if i.format.name == format and i.defect.name == name)
