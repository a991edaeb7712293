"""How a candidate is found: what it may declare, and the one line that each mistake gets."""

from __future__ import annotations

import os
import re
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.subject.candidates import CandidateError, from_function, load
from harness.subject.candidates.loading import axis_parameter, load_function, locate
from harness.subject.execution import fork_server
from harness.subject.execution.fork_server import ForkServer, servers, shared
from reference.declaration import Algorithm, Policy
from reference.formats import FORMATS

HOLDS_THE_LOCK = (
    "import ctypes, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); ctypes.PyDLL(None).sleep(60)"
)

GOOD = """import numpy as np
def softmax(x, axis=-1):
    e = np.exp(x)
    return e / e.sum(axis, keepdims=True)
"""


@pytest.fixture(autouse=True)
def _leave_the_interpreter_as_it_was() -> Iterator[None]:
    path, modules = list(sys.path), dict(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        if getattr(sys.modules[name], "__file__", None) and "pytest-" in str(sys.modules[name].__file__):
            del sys.modules[name]


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def complaint(spec: str, timeout: float = 60.0) -> str:
    with pytest.raises(CandidateError) as caught:
        load(spec, timeout)
    message = str(caught.value)
    assert "\n" not in message, message
    assert message.startswith(f"candidate {spec!r}: "), message
    return message.removeprefix(f"candidate {spec!r}: ")


# Found -----------------------------------------------------------------------------------


def test_a_file_and_a_module_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "kernels/mine.py", GOOD)
    monkeypatch.chdir(tmp_path)
    for spec in ("kernels/mine.py:softmax", f"{tmp_path}/kernels/mine.py:softmax", "kernels.mine:softmax"):
        candidate = load(spec)
        assert candidate.name == spec
        assert candidate.axis_parameter == "axis"
        assert candidate.formats is None
        assert candidate(np.zeros((1, 4), np.float32)).tolist() == [[0.25] * 4]


def test_the_spec_of_a_file_holds_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "mine.py", GOOD)
    monkeypatch.chdir(tmp_path)
    candidate = load("mine.py:softmax")
    monkeypatch.chdir("/")
    assert candidate.spec == f"{tmp_path.resolve()}/mine.py:softmax"
    assert load(candidate.spec).axis_parameter == "axis"


def test_the_last_colon_splits(tmp_path: Path) -> None:
    file = written(tmp_path, "a:b/mine.py", GOOD)
    assert locate(f"{file}:softmax").file == file.resolve()
    assert locate(r"C:\kernels.mine:f.g" if sys.platform == "win32" else "kernels.mine:f.g").function == "f.g"


def test_a_dotted_function_is_found(tmp_path: Path) -> None:
    file = written(tmp_path, "mine.py", "class Kernels:\n    @staticmethod\n    def f(x, dim): return x\n")
    assert load(f"{file}:Kernels.f").axis_parameter == "dim"


def test_a_file_named_like_a_module_leaves_that_module_alone(tmp_path: Path) -> None:
    import json

    file = written(tmp_path, "json.py", "def softmax(x): return x\n")
    loaded = load_function(f"{file}:softmax")
    assert loaded.axis_parameter is None
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("source", "keyword"),
    [
        ("lambda x: x", None),
        ("lambda x, axis: x", "axis"),
        ("lambda x, *, dim=-1: x", "dim"),
        ("lambda x, dim=-1, axis=-1: x", "axis"),
        ("lambda x, **axis: x", None),
        ("np.add", None),
    ],
)
def test_the_axis_is_told_from_the_signature(source: str, keyword: str | None) -> None:
    assert axis_parameter(eval(source, {"np": np})) == keyword  # noqa: S307 - the test's own


def test_a_candidate_without_axis_works_on_the_last() -> None:
    candidate = from_function(lambda x: x, "identity")
    assert candidate(np.zeros((2, 3)), axis=1).shape == (2, 3)
    with pytest.raises(ValueError, match="axis 0: identity has no axis parameter"):
        candidate(np.zeros((2, 3)), axis=0)


# Strangers -------------------------------------------------------------------------------


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """A candidate's folder that holds modules named like ours, which it imports at once and later."""
    written(tmp_path, "reference.py", "SCALE = 3\n")
    written(tmp_path, "harness/__init__.py", "")
    written(tmp_path, "harness/candidates.py", "NAME = 'theirs'\n")
    written(tmp_path, "reports/__init__.py", "OFFSET = 2\n")
    return written(
        tmp_path,
        "mine.py",
        "import reference, reports, beside\nfrom harness.candidates import NAME\n"
        "def softmax(x):\n    import later\n    assert NAME == 'theirs'\n"
        "    return x * reference.SCALE + reports.OFFSET + later.ONE + beside.ONE\n",
    )


def test_the_modules_beside_a_candidate_are_its_own(strangers: Path) -> None:
    import harness
    import reference

    for name in ("later", "beside"):
        written(strangers.parent, f"{name}.py", "ONE = 1\n")
    candidate = load(f"{strangers}:softmax")
    assert candidate(np.array([1.0])).tolist() == [7.0]
    assert sys.modules["reference"] is reference
    assert sys.modules["harness"] is harness
    assert "harness.subject.candidates" in sys.modules
    assert reference.FORMATS is FORMATS


def test_what_a_module_prints_is_not_its_answer(tmp_path: Path) -> None:
    noise = "import os, sys\nprint('{}' * 10**5)\nos.write(1, b'x' * 10**6)\nsys.stdout.close()\n"
    file = written(tmp_path, "mine.py", noise + GOOD)
    assert load(f"{file}:softmax").axis_parameter == "axis"


def test_threads_and_exit_handlers_do_not_hold_it_up(tmp_path: Path) -> None:
    lingering = (
        "import atexit, threading, time\natexit.register(time.sleep, 60)\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
    )
    file = written(tmp_path, "mine.py", lingering + GOOD)
    assert load(f"{file}:softmax", 20.0).axis_parameter == "axis"


# Mistakes --------------------------------------------------------------------------------


def test_an_unknown_built_in() -> None:
    assert complaint("niave") == (
        "no built-in of that name; did you mean 'naive'? (your own: module:function or path/file.py:function)"
    )
    assert "they are blocked, exp_minus_lse" in complaint("xyzzy")
    assert complaint("naive@3") == "naive has no parameter; leave out @3"


def test_no_function_named() -> None:
    assert complaint("mine.py") == "it names no function; write mine.py:function"
    for spec in (":softmax", "numpy:", "numpy:1f", "numpy:a..b"):
        assert complaint(spec) == "it names no function; write module:function or path/file.py:function"
    assert "'num py' is no module's name" in complaint("num py:f")
    assert "'.mine' is no module's name" in complaint(".mine:f")


def test_a_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        complaint("nope/mine.py:f") == f"file nope/mine.py does not exist (looked from {tmp_path.resolve()})"
    )


def test_a_folder_and_another_kind_of_file(tmp_path: Path) -> None:
    written(tmp_path, "mine.cu", "")
    written(tmp_path, "mine.so", "")
    assert complaint(f"{tmp_path}:f").startswith(f"{tmp_path} is a folder; name a .py file in it")
    assert complaint(f"{tmp_path}/mine.cu:f") == (
        f"file {tmp_path}/mine.cu is no .py file nor a native library;"
        " wrap it in one, or write module:function"
    )
    assert complaint(f"{tmp_path}/mine.so:f").startswith(f"loading {tmp_path}/mine.so fails: ")


def test_a_missing_module() -> None:
    for spec, missing in (("nopackage:f", "nopackage"), ("numpy.nope.deeper:f", "numpy.nope")):
        assert complaint(spec) == (
            f"there is no module '{missing}'; check its name, install it, or write path/file.py:function"
        )


def test_a_missing_attribute(tmp_path: Path) -> None:
    file = written(tmp_path, "mine.py", GOOD)
    assert complaint(f"{file}:sofmax") == f"{file.resolve()} has no 'sofmax'; did you mean 'softmax'?"
    assert complaint(f"{file}:zzz") == f"{file.resolve()} has no 'zzz'; it has softmax"
    empty = written(tmp_path, "empty.py", "")
    assert complaint(f"{empty}:f") == f"{empty.resolve()} has no 'f'; it has no public function"


def test_arrays_of_a_library_that_cannot_be_imported(tmp_path: Path) -> None:
    # beside the candidate, so that it is found first even where PyTorch is installed
    written(tmp_path, "torch.py", "raise ImportError('not here')\n")
    file = written(tmp_path, "mine.py", GOOD)
    assert complaint(f"{file}:softmax@torch") == "torch cannot be imported (not here); install it"


def test_an_attribute_that_cannot_be_called(tmp_path: Path) -> None:
    file = written(tmp_path, "mine.py", "softmax = 3.5\n")
    assert complaint(f"{file}:softmax") == "softmax is of type float, which cannot be called"


def test_a_function_of_other_arguments(tmp_path: Path) -> None:
    file = written(tmp_path, "mine.py", "def softmax(x, out): pass\n")
    assert complaint(f"{file}:softmax").startswith(
        "softmax(x, out) cannot be called with one array (missing a"
    )


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("import numpy\n\nraise ValueError('two\\nlines')\n", 3, "ValueError: two lines"),
        ("import absent_dependency\n", 1, "ModuleNotFoundError: No module named 'absent_dependency'"),
        ("x = (\n", 1, "SyntaxError: '(' was never closed"),
        ("\nraise SystemExit\n", 2, "SystemExit"),
        ("import numpy as np\nnp.zeros(-1)\n", 2, "ValueError: negative dimensions are not allowed"),
        ("raise ValueError('x' * 5000)\n", 1, f"ValueError: {'x' * 288}..."),
    ],
)
def test_an_error_inside_the_module(tmp_path: Path, text: str, line: int, what: str) -> None:
    file = written(tmp_path, "mine.py", text)
    assert complaint(f"{file}:f") == f"importing {file.resolve()} fails: {what} ({file.resolve()}:{line})"


def test_an_error_inside_what_the_module_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "mine.py", "import beside\n")
    beside = written(tmp_path, "beside.py", "1 / 0\n")
    monkeypatch.chdir(tmp_path)
    assert complaint("mine:f") == (
        f"importing mine fails: ZeroDivisionError: division by zero ({beside.resolve()}:1)"
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import os\nos.abort()\n", "importing it: its process died of SIGABRT"),
        ("import os\nos._exit(7)\n", "importing it: its process ended by itself with exit status 7"),
        (
            "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nsignal.pause()\n",
            "importing it: its process ",
        ),
        ("import time\ntime.sleep(60)\n", "still importing after 1 s; make it import faster"),
        (f"{HOLDS_THE_LOCK}\n", "still importing after 1 s; make it import faster"),
    ],
)
def test_an_import_that_kills_or_hangs_its_process(tmp_path: Path, text: str, what: str) -> None:
    file = written(tmp_path, "mine.py", text)
    assert complaint(f"{file}:f", timeout=1.0 if "sleep" in text else 60.0).startswith(what)


def test_an_import_leaves_no_process(tmp_path: Path) -> None:
    """Not even a daemon with a session of its own, which holds every descriptor that it inherited."""
    daemon = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(__file__ + ".pid", "w").write(str(os.getpid()))
        time.sleep(60)
    os._exit(0)
while not os.path.exists(__file__ + ".pid") or not open(__file__ + ".pid").read():
    time.sleep(0.01)
"""
    file = written(tmp_path, "mine.py", daemon + GOOD)
    load(f"{file}:softmax")
    daemon_id = int((tmp_path / "mine.py.pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(daemon_id, 0)


# Declarations ----------------------------------------------------------------------------


def test_a_function_declares_by_plain_values(tmp_path: Path) -> None:
    declares = {
        "formats": ["float32", "bfloat16"],
        "argument": "constant",
        "constant": -3,
        "saturating": True,
        "policy": {"pos_inf": "limit", "subnormals": "flush"},
        "algorithm": {"name": "mine", "exp_ulps": 1, "summation": "sequential", "arithmetic": "float32"},
    }
    file = written(tmp_path, "mine.py", f"{GOOD}softmax.declares = {declares!r}\n")
    candidate = load(f"{file}:softmax")
    declaration = candidate.declared(FORMATS["float32"])
    assert declaration.policy == Policy(subnormals="flush", pos_inf="limit")
    assert declaration.saturating
    assert declaration.algorithm == Algorithm(
        "mine", "constant", 1.0, "sequential", arithmetic="float32", constant=-3.0
    )
    assert candidate.supports(FORMATS["bfloat16"])
    assert not candidate.supports(FORMATS["float64"])


def test_what_is_not_declared_is_unknown(tmp_path: Path) -> None:
    file = written(tmp_path, "mine.py", '"""A module."""\ndef softmax(x):\n    """Mine.\n\n    More."""\n')
    candidate = load(f"{file}:softmax")
    assert candidate.declaration.argument == "unknown"
    assert candidate.declaration.algorithm is None
    assert candidate.description == "Mine."


@pytest.mark.parametrize(
    ("declares", "what"),
    [
        ({"argumnet": "plain"}, "declares 'argumnet': did you mean 'argument'?"),
        ({"argument": "shift"}, "argument 'shift': did you mean 'shifted'?"),
        (
            {"argument": ["plain"]},
            "argument ['plain']: did you mean 'plain'?",
        ),
        ({"constant": "3"}, "constant '3': it is of type float"),
        ({"saturating": 1}, "saturating 1: it is of type bool"),
        ({"formats": "float32"}, "formats 'float32': it is a list of names"),
        ({"formats": ["float23"]}, "formats 'float23': did you mean 'float32'?"),
        ({"formats": [3]}, "formats 3: it is one of float16"),
        ({"policy": {"pos_inf": "zero"}}, "policy 'pos_inf=zero': pos_inf is one of"),
        ({"policy": "pos_inf=nan"}, "policy 'pos_inf=nan': it is a dictionary"),
        ({"algorithm": {"exp_ulps": 1.0}}, "algorithm: "),
        ({"algorithm": {"exp_ulps": True, "summation": "sequential"}}, "exp_ulps True: it is of type float"),
        (
            {"algorithm": {"exp_ulps": 1, "summation": "sequential", "arithmetic": "fp32"}},
            "arithmetic 'fp32': ",
        ),
        ({"algorithm": {"exp_ulp": 1}}, "algorithm 'exp_ulp': did you mean 'exp_ulps'?"),
    ],
)
def test_a_wrong_declaration_is_named(tmp_path: Path, declares: dict[str, object], what: str) -> None:
    file = written(tmp_path, "mine.py", f"{GOOD}softmax.declares = {declares!r}\n")
    assert complaint(f"{file}:softmax").startswith(what)


def test_a_declaration_of_more_than_plain_values(tmp_path: Path) -> None:
    file = written(tmp_path, "mine.py", f"{GOOD}softmax.declares = {{'argument': softmax}}\n")
    assert re.match("declares holds more than plain values: ", complaint(f"{file}:softmax"))


def test_a_function_at_hand_declares_alike() -> None:
    def softmax(x: np.ndarray, dim: int = -1) -> np.ndarray:
        """Mine."""
        return x

    softmax.declares = {"argument": "plain", "formats": ["float16"]}  # type: ignore[attr-defined]
    candidate = from_function(softmax)
    assert candidate.declaration.argument == "plain"
    assert candidate.formats == {"float16"}
    assert candidate.axis_parameter == "dim"
    assert candidate.description == "Mine."


def lower_a_limit() -> Callable[[], None]:
    now = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (now[0] - 1, now[1]))
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, now)


def leave_a_processor() -> Callable[[], None]:
    now = os.sched_getaffinity(0)
    if len(now) == 1:
        pytest.skip("there is one processor")
    os.sched_setaffinity(0, {min(now)})
    return lambda: os.sched_setaffinity(0, now)


def leave_the_folder_of_imports() -> Callable[[], None]:
    now = Path.cwd()
    os.chdir("/")
    return lambda: os.chdir(now)


needs_forks = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="workers are forked on Linux alone")


@needs_forks
@pytest.mark.parametrize("change", [lower_a_limit, leave_a_processor, leave_the_folder_of_imports])
def test_a_fork_server_serves_only_where_processors_limits_and_imports_are_as_at_its_start(
    change: Callable[[], Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_server, "_shared", [])
    monkeypatch.setenv("PYTHONPATH", "modules")
    with shared(), servers() as outer:
        undo = change()
        try:
            with servers() as other:
                pass
        finally:
            undo()
        with servers() as again:
            pass
    assert again is outer is not other


@needs_forks
def test_a_server_that_never_started_is_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "_shared", [])
    with shared(), servers() as outer:
        outer.of("mine.py:softmax")._is_usable = False
        with servers() as again:
            assert again is outer


@needs_forks
def test_what_is_done_in_turn_shares_a_fork_server_and_sees_its_own_folder_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = f"{tmp_path / 'mine.py'}:softmax"
    Path(tmp_path / "mine.py").write_text(
        "import os\n\ndef softmax(x):\n    return x\n\n"
        "opened = [os.path.realpath(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')]\n"
        "folders = sum(os.path.isdir(path) for path in opened)\n"
        "softmax.__doc__ = f'{os.getcwd()} {os.environ.get(\"WHERE\")} {folders}'\n"
    )
    monkeypatch.setattr(fork_server, "_shared", [])
    monkeypatch.delenv("WHERE", raising=False)

    def seen(folder: str, **variables: str) -> tuple[str, ForkServer]:
        (tmp_path / folder).mkdir(exist_ok=True)
        with monkeypatch.context() as here:
            here.chdir(tmp_path / folder)
            for name, value in variables.items():
                here.setenv(name, value)
            with shared(), servers() as chosen:
                return load(spec).description, chosen.of(spec)

    with shared(), servers() as forks:
        first, second, other, last = seen("a"), seen("b"), seen("b", WHERE="there"), seen("a")
        assert [said for said, _ in (first, second, other, last)] == [
            f"{tmp_path / 'a'} None 0",
            f"{tmp_path / 'b'} None 0",
            f"{tmp_path / 'b'} there 0",
            f"{tmp_path / 'a'} None 0",
        ]
        assert first[1] is second[1] is last[1] is forks.of(spec) is not other[1]


def test_a_candidate_is_looked_at_though_the_fork_server_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_server, "_shared", [])
    specs = [f"{tmp_path / name}.py:softmax" for name in ("first", "second", "third")]
    for spec in specs:
        Path(spec.partition(":")[0]).write_text("def softmax(x):\n    return x\n")
    with shared(), servers() as forks:
        assert load(specs[0]).spec == specs[0]
        server = forks.of(specs[0])._process
        assert server is not None
        server.kill()
        server.wait()
        assert [load(spec).spec for spec in specs[1:]] == specs[1:]
