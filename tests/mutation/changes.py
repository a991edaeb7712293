"""The mutants: one small change of one place in one module, numbered so that edits elsewhere move none.

Left alone are what no test should notice or any would: docstrings, annotations, messages, assertions,
decorators, `__all__` and imports.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["MODULES", "ROOT", "Mutant", "mutants", "parsed", "path_of", "sample", "statements_of"]

ROOT: Final = Path(__file__).resolve().parents[2]

MODULES: Final = (
    "reference.formats",
    "reference.inputs",
    "reference.row_kinds",
    "reference.oracle",
    "reference.model",
    "reference.truth",
    "reference.errors",
    "reference.attribution",
    "reference.tiers",
    "reference.bounds",
    "reference.bounds.arguments",
    "reference.bounds.elementary",
    "reference.bounds.exact",
    "reference.bounds.extremes",
    "reference.bounds.intervals",
    "reference.bounds.setting",
    "reference.bounds.summation",
    "reports.record.bins",
    "reports.record.cells",
    "reports.record.confidence",
    "reports.record.tally",
    "harness.measurement",
    "harness.measurement.counts",
    "harness.measurement.judged",
    "harness.measurement.policy",
    "harness.measurement.profiles",
    "harness.measurement.rows",
    "harness.measurement.tiers",
    "harness.measurement.witnesses",
    "harness.gate.budgets",
    "harness.gate.decision",
    "harness.gate.judgement",
    "harness.gate.statistics",
)
"""Formats, truth, error classes, attribution, bounds, tiers, rates and intervals, the gate's comparisons."""

_COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}

_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}

_PAIRS: Final = (
    ("min", "max"),
    ("minimum", "maximum"),
    ("fmax", "fmin"),
    ("argmax", "argmin"),
    ("floor", "ceil"),
    ("any", "all"),
    ("emin", "emax"),
    ("isnan", "isinf"),
    ("up", "down"),
    ("lo", "hi"),
    ("low", "high"),
    ("u", "v"),
    ("size", "size_low"),
    ("smallest_normal", "smallest_subnormal"),
    ("correct", "faithful"),
    ("FLUSHED", "LOST"),
    ("MASK_LEAK", "MASKED_ZERO"),
    ("COLLAPSED", "INFLATED"),
    ("OVERFLOW", "TOTAL_UNDERFLOW"),
    ("INACCURATE", "UNEXPLAINED"),
    ("NAN", "POS_INF"),
)
_SWAPPED: Final = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
_SWAPPED_FUNCTIONS: Final = frozenset({"min", "max", "any", "all"})
"""The only bare names that are swapped; the others are attributes, so that the change has a meaning."""

_Scope = tuple[str, ...]


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        module: where.
        scope: the qualified name of the function or class, empty at the module's level.
        line: the line of the change.
        kind: what sort of change.
        before, after: the smallest piece of source that holds it.
        statement: the key of the statement that holds it, as `statements_of` gives it.
        place: the node's number in the module, in `ast.walk` order, and the variant's number there.
        id: ten hexadecimal digits, the same as long as the function and the piece are.
    """

    module: str
    scope: str
    line: int
    kind: str
    before: str
    after: str
    statement: str
    place: tuple[int, int]
    id: str

    def tree(self) -> ast.Module:
        """Return the module's syntax with this change."""
        tree = copy.deepcopy(parsed(self.module))
        node = list(ast.walk(tree))[self.place[0]]
        list(_variants(node))[self.place[1]].apply()
        return ast.fix_missing_locations(tree)

    @property
    def function(self) -> str:
        """The qualified name of the outermost function whose body is changed; empty where none is."""
        body, names = parsed(self.module).body, self.scope.split(".")
        for place, name in enumerate(names):
            node = next((n for n in body if isinstance(n, _NAMED) and n.name == name), None)
            if isinstance(node, ast.FunctionDef):
                return ".".join(names[: place + 1])
            body = node.body if node else []
        return ""


_NAMED: Final = (ast.FunctionDef, ast.ClassDef)


def path_of(module: str) -> Path:
    """Return a module's file."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def parsed(module: str) -> ast.Module:
    """Return a module's syntax."""
    return ast.parse(path_of(module).read_text(encoding="utf-8"))


def sample(number: int, seed: int) -> list[Mutant]:
    """Return so many mutants of all modules, drawn by a digest of seed and id: each has the same chance."""
    every = [m for module in MODULES for m in mutants(module)]
    return sorted(every, key=lambda m: hashlib.sha256(f"{seed} {m.id}".encode()).digest())[:number]


def mutants(module: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    tree = parsed(module)
    numbers = {node: number for number, node in enumerate(ast.walk(tree))}
    seen: Counter[tuple[str, ...]] = Counter()
    for node, scope, statement, key in _places(tree):
        for variant, change in enumerate(_variants(node)):
            where = ".".join(scope)
            before, after = change.texts()
            mark = (module, where, change.kind, before, after, ast.unparse(statement).splitlines()[0])
            identity = hashlib.sha256(repr((*mark, seen[mark])).encode()).hexdigest()[:10]
            seen[mark] += 1
            line = getattr(node, "lineno", statement.lineno)
            place = (numbers[node], variant)
            yield Mutant(module, where, line, change.kind, before, after, key, place, identity)


def statements_of(tree: ast.Module) -> dict[ast.stmt, tuple[_Scope, str]]:
    """Return scope and key of every statement: the key is the same as long as scope and source are."""
    found: dict[ast.stmt, tuple[_Scope, str]] = {}
    seen: Counter[str] = Counter()

    def visit(node: ast.AST, scope: _Scope) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                text = repr((scope, ast.unparse(child)))
                found[child] = (scope, hashlib.sha256(f"{text} {seen[text]}".encode()).hexdigest()[:10])
                seen[text] += 1
            visit(child, (*scope, child.name) if isinstance(child, _NAMED) else scope)

    visit(tree, ())
    return found


def _places(tree: ast.Module) -> Iterator[tuple[ast.AST, _Scope, ast.stmt, str]]:
    """Yield every node that may be changed, with its innermost statement."""
    statements = statements_of(tree)

    def visit(node: ast.AST, holder: ast.stmt) -> Iterator[tuple[ast.AST, _Scope, ast.stmt, str]]:
        scope, key = statements[holder]
        yield node, scope, holder, key
        for child in _children(node):
            yield from visit(child, child if isinstance(child, ast.stmt) else holder)

    for statement in tree.body:
        if not _left_alone(statement):
            yield from visit(statement, statement)


def _left_alone(node: ast.AST) -> bool:
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.Assert, ast.JoinedStr)):
        return True
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id == "__all__" or "NDArray" in ast.unparse(node.value)
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "exc", "type_comment", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _left_alone(child):
                yield child


@dataclass(frozen=True)
class _Change:
    """A change of one node in place: fields of it, or of what holds it, get other values."""

    kind: str
    node: ast.AST
    fields: dict[str, object]

    def apply(self) -> None:
        for name, value in self.fields.items():
            if name == "__class__":
                self.node.__class__ = value  # type: ignore[assignment]
            else:
                setattr(self.node, name, value)

    def texts(self) -> tuple[str, str]:
        """Return the source before and after, of an expression or of a statement's first line."""
        before = ast.unparse(self.node)
        saved = {name: getattr(self.node, name) for name in self.fields}
        self.apply()
        after = ast.unparse(self.node)
        for name, value in saved.items():
            setattr(self.node, name, value)
        if isinstance(self.node, ast.stmt) and isinstance(self.node, (ast.If, ast.While)):
            before, after = before.splitlines()[0], after.splitlines()[0]
        return before, after


def _variants(node: ast.AST) -> Iterator[_Change]:
    for make in (_of_comparison, _of_operator, _of_constant, _of_condition, _of_name, _of_statement, _of_row):
        yield from make(node)


def _of_comparison(node: ast.AST) -> Iterator[_Change]:
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            for other in _COMPARISONS[type(operator)]:
                ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
                yield _Change("comparison", node, {"ops": ops})


def _of_operator(node: ast.AST) -> Iterator[_Change]:
    if isinstance(node, (ast.BinOp, ast.AugAssign)):
        yield _Change("operator", node, {"op": _ARITHMETIC[type(node.op)]()})
    elif isinstance(node, ast.BoolOp):
        yield _Change("and/or", node, {"op": ast.And() if isinstance(node.op, ast.Or) else ast.Or()})
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.UAdd):
        yield _Change("sign", node, {"op": ast.UAdd()} if not isinstance(node.op, ast.Not) else _twice(node))


def _twice(node: ast.UnaryOp) -> dict[str, object]:
    return {"operand": ast.UnaryOp(ast.Not(), node.operand)}


def _of_constant(node: ast.AST) -> Iterator[_Change]:
    if not isinstance(node, ast.Constant):
        return
    if isinstance(node.value, bool):
        yield _Change("constant", node, {"value": not node.value})
    elif isinstance(node.value, (int, float)):
        for step in (1, -1):
            yield _Change("constant", node, {"value": node.value + step})


def _of_condition(node: ast.AST) -> Iterator[_Change]:
    if isinstance(node, (ast.If, ast.While, ast.IfExp)):
        yield _Change("condition", node, {"test": ast.UnaryOp(ast.Not(), node.test)})


def _of_name(node: ast.AST) -> Iterator[_Change]:
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and node.attr in _SWAPPED:
        yield _Change("name", node, {"attr": _SWAPPED[node.attr]})
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in _SWAPPED_FUNCTIONS:
        yield _Change("name", node, {"id": _SWAPPED[node.id]})


def _of_statement(node: ast.AST) -> Iterator[_Change]:
    if isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield _Change("returns None", node, {"value": ast.Constant(None)})
    elif isinstance(node, (ast.Break, ast.Continue)):
        other = ast.Continue if isinstance(node, ast.Break) else ast.Break
        yield _Change("statement", node, {"__class__": other})
    elif _may_be_dropped(node):
        yield _Change("dropped", node, {"__class__": ast.Pass})


def _may_be_dropped(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign):  # of a name: what follows would not run
        return isinstance(node.targets[0], (ast.Subscript, ast.Attribute))
    return isinstance(node, (ast.AugAssign, ast.Raise))


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _of_row(node: ast.AST) -> Iterator[_Change]:
    """Drop one of at least three entries of a written-out collection."""
    if isinstance(node, (ast.Set, ast.List, ast.Tuple)) and len(node.elts) > 2:
        if not (isinstance(node, (ast.List, ast.Tuple)) and not isinstance(node.ctx, ast.Load)):
            for i in range(len(node.elts)):
                yield _Change("dropped entry", node, {"elts": [*node.elts[:i], *node.elts[i + 1 :]]})
    elif isinstance(node, ast.Dict) and len(node.keys) > 2:
        for i in range(len(node.keys)):
            keys, values = [*node.keys], [*node.values]
            del keys[i], values[i]
            yield _Change("dropped entry", node, {"keys": keys, "values": values})
