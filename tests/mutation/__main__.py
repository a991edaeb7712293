"""Draw mutants, run their tests, keep and print what was noticed.

    python -m tests.mutation [--mutants 300] [--seed 0] [--seconds S] [--again] [--control N] [--only ID]

It goes on where it stopped: what is known stands in results.json, and which tests execute what in
`--cache`. `answers.toml` says of every survivor why no test could notice it, or what is open about it;
where anything is, the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any, Final

from tests.mutation.changes import ROOT, Mutant, sample
from tests.mutation.covering import Coverage, gather
from tests.mutation.forking import Outcome, preload, tell
from tests.mutation.judging import judge_all

HERE: Final = Path(__file__).resolve().parent
RESULTS: Final = HERE / "results.json"
ANSWERS: Final = HERE / "answers.toml"


def main() -> int:
    """Run as the module's docstring says."""
    options = _options()
    until = time.monotonic() + options.seconds
    drawn = sample(options.mutants, options.seed)
    preload()
    options.cache.parent.mkdir(parents=True, exist_ok=True)
    coverage = Coverage.read(options.cache)
    with tempfile.TemporaryDirectory(prefix="mutation-") as temporary:
        folder = Path(temporary)
        if not gather(coverage, folder, until):
            tell("not all tests are covered yet: call again")
            return 3
        if options.control:
            return _control(drawn[: options.control], coverage, folder)
        known = _known(options)

        def note(mutant: Mutant, outcome: Outcome) -> bool:
            known[mutant.id] = _entry(mutant, outcome)
            _write(options, drawn, known)
            return time.monotonic() < until

        judge_all([m for m in drawn if _is_chosen(m, known, options)], coverage, folder, note)
    return _report(drawn, known)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start nothing later than that")
    parser.add_argument("--again", action="store_true", help="try the survivors again")
    parser.add_argument("--control", type=int, default=0, help="run so many mutants' tests unchanged")
    parser.add_argument("--only", default="", help="the mutant whose id starts so")
    parser.add_argument("--cache", type=Path, default=ROOT / "harness-out" / "mutation.json")
    return parser.parse_args()


def _is_chosen(mutant: Mutant, known: dict[str, Any], options: argparse.Namespace) -> bool:
    if options.only:
        return mutant.id.startswith(options.only)
    if mutant.id not in known:
        return True
    return bool(options.again and known[mutant.id]["status"] == "survived")


def _known(options: argparse.Namespace) -> dict[str, Any]:
    if not RESULTS.exists():
        return {}
    document = json.loads(RESULTS.read_text(encoding="utf-8"))
    return {entry["id"]: entry for entry in document["mutants"] if document["seed"] == options.seed}


def _entry(mutant: Mutant, outcome: Outcome) -> dict[str, Any]:
    where = f"{mutant.module}:{mutant.line} {mutant.scope}"
    tell(f"{outcome['status']:9} {mutant.id} {where}: {_change(mutant)}  {outcome.get('by', '')}")
    return {
        "id": mutant.id,
        "module": mutant.module,
        "scope": mutant.scope,
        "kind": mutant.kind,
        "change": _change(mutant),
        **outcome,
    }


def _change(mutant: Mutant) -> str:
    return f"{mutant.before} -> {mutant.after}"


def _control(drawn: list[Mutant], coverage: Coverage, folder: Path) -> int:
    """Run the tests of mutants without the change: every one noticed is a false alarm."""
    alarms = []

    def note(mutant: Mutant, outcome: Outcome) -> bool:
        if outcome["status"] != "survived":
            alarms.append(mutant)
            tell(f"{mutant.id} {outcome}")
        return True

    judge_all(drawn, coverage, folder, note, change=False)
    tell(f"{len(alarms)} false alarms in {len(drawn)}")
    return int(bool(alarms))


def _write(options: argparse.Namespace, drawn: list[Mutant], known: dict[str, Any]) -> None:
    entries = [known[m.id] for m in drawn if m.id in known]
    noticed = sum(entry["status"] != "survived" for entry in entries)
    lines = ",\n".join(f"  {json.dumps(entry, ensure_ascii=False)}" for entry in entries)
    head = f'"seed": {options.seed}, "drawn": {len(entries)}, "noticed": {noticed}'
    RESULTS.write_text(f'{{{head}, "mutants": [\n{lines}\n]}}\n', encoding="utf-8")


def _report(drawn: list[Mutant], known: dict[str, Any]) -> int:
    answers = tomllib.loads(ANSWERS.read_text(encoding="utf-8")) if ANSWERS.exists() else {}
    entries = [known[m.id] for m in drawn if m.id in known]
    survivors = [entry for entry in entries if entry["status"] == "survived"]
    equivalent = answers.get("equivalent", {})
    reasons = {**answers.get("open", {}), **equivalent}
    for entry in survivors:
        reason = reasons.get(entry["id"], "NOT ANSWERED")
        tell(f"survived {entry['id']} {entry['module']} {entry['scope']}: {entry['change']}: {reason}")
    noticed = len(entries) - len(survivors)
    if entries:
        tell(f"{noticed} of {len(entries)} mutants noticed: {noticed / len(entries):.1%}")
    return int(any(entry["id"] not in equivalent for entry in survivors))


if __name__ == "__main__":
    raise SystemExit(main())
