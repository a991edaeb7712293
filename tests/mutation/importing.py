"""Running other syntax than a module's file holds, in one process: no file is touched.

What runs on import is compiled as it is imported; a function that is there already gets other code.
"""

from __future__ import annotations

import ast
import builtins
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Final

from tests.mutation.changes import path_of, statements_of

__all__ = ["HITS", "Functions", "counting", "substitute"]

HITS: Final[set[str]] = set()
"""The keys of the statements executed since it was last cleared."""

_HIT: Final = "__mutation_hit__"


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module from a syntax tree, under the name and the path of its file."""

    def __init__(self, module: str, tree: Callable[[], ast.Module]) -> None:
        super().__init__(module, str(path_of(module)))
        self.tree = tree

    def get_code(self, fullname: str) -> CodeType | None:  # noqa: ARG002
        return compile(self.tree(), self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, trees: dict[str, Callable[[], ast.Module]]) -> None:
        self.trees = trees

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.trees:
            return None
        loader = _Loader(fullname, self.trees[fullname])
        return importlib.util.spec_from_file_location(fullname, loader.path, loader=loader)


def substitute(trees: dict[str, Callable[[], ast.Module]]) -> None:
    """Let modules be imported from these syntax trees from now on, in this process.

    Raises:
        RuntimeError: one has been imported already.
    """
    early = [module for module in trees if module in sys.modules]
    if early:
        raise RuntimeError(f"{', '.join(early)}: imported before the change")
    sys.meta_path.insert(0, _Finder(trees))


class Functions:
    """The functions of this process, by file and qualified name, whose code may be exchanged."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], list[FunctionType]] = {}
        for found in gc.get_objects():
            if type(found) is FunctionType:  # no isinstance: it looks through proxies of what is gone
                code = found.__code__
                self.known.setdefault((code.co_filename, code.co_qualname), []).append(found)

    def exchange(self, module: str, tree: ast.Module, name: str) -> None:
        """Give a function of an imported module the code that it has in another tree.

        Raises:
            RuntimeError: there is no such function.
        """
        file = str(path_of(module))
        functions = self.known.get((file, name), [])
        if not functions:
            raise RuntimeError(f"{module}: no function {name} has been imported")
        codes = {
            (code.co_qualname, code.co_firstlineno): code for code in _codes(compile(tree, file, "exec"))
        }
        for function in functions:
            function.__code__ = codes[name, function.__code__.co_firstlineno]


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def counting(modules: Iterable[str]) -> None:
    """Let modules be imported so that every statement within a function tells `HITS` that it runs."""
    setattr(builtins, _HIT, HITS.add)
    substitute({module: partial(_telling, module) for module in modules})


def _telling(module: str) -> ast.Module:
    tree = ast.parse(path_of(module).read_text(encoding="utf-8"))
    keys = {node: key for node, (_, key) in statements_of(tree).items()}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for holder in ast.walk(function):
                _tell(holder, keys)
    return ast.fix_missing_locations(tree)


def _tell(holder: ast.AST, keys: dict[ast.stmt, str]) -> None:
    for name in ("body", "orelse", "finalbody"):
        statements = getattr(holder, name, None)
        if isinstance(statements, list) and any(statement in keys for statement in statements):
            told = []
            for statement in statements:
                key = keys.pop(statement, None)  # once, where functions are nested
                told += (
                    [_call(key, statement), statement]
                    if key and not _is_docstring(statement)
                    else [statement]
                )
            setattr(holder, name, told)


def _call(key: str, statement: ast.stmt) -> ast.Expr:
    call = ast.Expr(ast.Call(ast.Name(_HIT, ast.Load()), [ast.Constant(key)], []))
    return ast.copy_location(call, statement)


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
