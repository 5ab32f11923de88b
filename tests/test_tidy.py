"""House rules that no linter knows. Every fault says where it is, and the rule says what to do."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

FILE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 70

#: Rooms where a number may be money: integers only, and every division says who gains.
MONEY_ROOMS: Final = re.compile(
    r"src/swapdesk/(money|pricing|handoff)\.py"
    r"|src/swapdesk/(orders|ledger|deposits|engine)/.*\.py"
    r"|src/swapdesk/rates/book\.py"
    r"|src/swapdesk_vault/(policy|journal|payment)\.py"
    r"|src/swapdesk_vault/senders/.*\.py"
)

#: Files that may ask the operating system for time or chance, and why.
CLOCKS: Final = {
    "src/swapdesk/world.py": "it is the one place that does",
}

#: Names that say nothing about what is inside.
BANNED_NAMES: Final = re.compile(
    r"(utils?|common|helpers?|managers?|services?|handlers?|misc|base|lib)"
)

LEFTOVER: Final = re.compile(r"\b(X{3}|TO[D]O|FIX[M]E|HA[C]K)\b")

#: Where somebody's machine or a package index shows through.
FOREIGN: Final = re.compile(
    r"/(root|work)/[\w.]|/home/[\w.]|/Users/[\w.]|pypi[.]org|pythonh[o]sted[.]org|npmjs[.]org"
    r"|deb[.]debian[.]org|proxy[.]golang[.]org|--(extra-)?index-url[= ]"
)

CLOCK_CALLS: Final = frozenset({"now", "utcnow", "today", "time_ns"})
CLOCK_OWNERS: Final = frozenset({"datetime", "date", "time", "dt"})
CHANCE_CALLS: Final = frozenset({"uuid1", "uuid4", "uuid7", "urandom"})
CHANCE_MODULES: Final = frozenset({"random", "secrets"})


@cache
def files() -> list[str]:
    """Every file of the repository, tracked or about to be, relative to its root."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        told = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
        names = told.stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive
        kept = ("src", "tests", "tools", "docs")
        names = [str(p.relative_to(ROOT)) for top in kept for p in (ROOT / top).rglob("*")]
    ours = (name for name in names if "/vendor/" not in name)
    return sorted(name for name in ours if (ROOT / name).is_file())


@cache
def text(name: str) -> str:
    """What is in the file; nothing for one that is not text."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@cache
def tree(name: str) -> ast.Module:
    """The syntax tree of a Python file."""
    return ast.parse(text(name))


def python(*tops: str) -> list[str]:
    """Python files below the given folders."""
    return [name for name in files() if name.endswith(".py") and name.startswith(tops)]


def check(faults: Iterator[str], instead: str) -> None:
    """Fail with all faults of one rule and what to do instead."""
    found = sorted(faults)
    assert not found, f"{instead}\n  " + "\n  ".join(found)


def nodes(names: list[str], wrong: Callable[[ast.AST], str | None]) -> Iterator[str]:
    """Where `wrong` has something to say about a syntax node."""
    for name in names:
        for node in ast.walk(tree(name)):
            if said := wrong(node):
                yield f"{name}:{getattr(node, 'lineno', 1)}: {said}"


def test_files_are_short() -> None:
    """A file of more than 400 lines is two rooms."""
    check(
        (
            f"{name}: {lines} lines"
            for name in python("src/", "tests/", "tools/")
            if (lines := len(text(name).splitlines())) > FILE_LINES_MAX
        ),
        f"split it by what it does; {FILE_LINES_MAX} lines are the most one reads in a sitting:",
    )


def test_functions_are_short() -> None:
    """A function of more than 70 lines does more than one thing."""

    def wrong(node: ast.AST) -> str | None:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return None
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        return f"{node.name} has {lines} lines" if lines > FUNCTION_LINES_MAX else None

    check(nodes(python("src/"), wrong), "name its parts and call them:")


def test_modules_say_what_they_are() -> None:
    """Every file begins with what it is and how it fits in."""
    check(
        (
            name
            for name in python("src/", "tests/", "tools/")
            if text(name).strip() and not ast.get_docstring(tree(name))
        ),
        "begin the file with a docstring: what it is, and what a reader must know first:",
    )


def test_public_things_say_what_they_are() -> None:
    """Public functions and classes say shape, unit, errors and source."""
    names = [name for name in python("src/") if "/migrations/" not in name]
    check(
        (f"{name}:{said}" for name in names for said in _undocumented(tree(name))),
        "write a docstring (shape, unit, errors, source), or begin the name with _:",
    )


def _undocumented(parent: ast.Module | ast.ClassDef) -> Iterator[str]:
    for node in parent.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_"):
            continue
        if not ast.get_docstring(node) and not _is_overload(node):
            yield f"{node.lineno}: {node.name}"
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(node)


def _is_overload(node: ast.stmt) -> bool:
    marks = getattr(node, "decorator_list", [])
    return any(ast.unparse(mark).endswith(("overload", ".setter")) for mark in marks)


def test_tests_say_what_must_hold() -> None:
    """A failing test should tell which promise is broken."""

    def wrong(node: ast.AST) -> str | None:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return None
        silent = node.name.startswith("test_") and not ast.get_docstring(node)
        return node.name if silent else None

    check(nodes(python("tests/"), wrong), "say in a docstring what must hold:")


def test_money_is_never_a_float() -> None:
    """No float, no true division and no round() where a number may be money."""

    def wrong(node: ast.AST) -> str | None:
        match node:
            case ast.Assign() | ast.AnnAssign() if "SECONDS" in ast.unparse(node):
                waits.update(ast.walk(node))
            case ast.Constant(value=float()) if node not in waits:
                return f"the float {ast.unparse(node)}"
            case ast.Name(id="float"):
                return "float"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                return ast.unparse(node)
            case ast.Call(func=ast.Name(id="round")):
                return ast.unparse(node)
            case _:
                pass
        return None

    waits: set[ast.AST] = set()  # a named constant of seconds may be a fraction
    rooms = [name for name in python("src/") if MONEY_ROOMS.fullmatch(name)]
    assert len(rooms) > 10, "the money rooms have moved: correct MONEY_ROOMS"
    check(nodes(rooms, wrong), "use integers of minor units and a named rounding of money.py:")


def test_time_and_chance_come_from_the_world() -> None:
    """Nothing but world.py reads the clock or rolls dice, so every run can be repeated."""

    names = [name for name in python("src/") if name not in CLOCKS]
    asks = chain(nodes(names, _imports_chance), nodes(names, _reads_clock))
    check(asks, "ask a World for it: world.now(), world.token(), world.uuid():")


def _imports_chance(node: ast.AST) -> str | None:
    if isinstance(node, ast.Import):
        bad = CHANCE_MODULES.intersection(each.name for each in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module in CHANCE_MODULES and not node.level:
        bad = frozenset({node.module})
    elif isinstance(node, ast.ImportFrom) and node.module in {"uuid", "os", "time"}:
        bad = (CHANCE_CALLS | CLOCK_CALLS).intersection(each.name for each in node.names)
    else:
        bad = frozenset()
    return f"import of {', '.join(sorted(bad))}" if bad else None


def _reads_clock(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Attribute):
        return None
    owner = _owner(node)
    chance = node.attr in CHANCE_CALLS and owner != "world"
    clock = node.attr in CLOCK_CALLS and owner in CLOCK_OWNERS
    return ast.unparse(node) if chance or clock or (owner, node.attr) == ("time", "time") else None


def _owner(node: ast.Attribute) -> str:
    """The last name before the dot: `time` in `datetime.time.now`."""
    return ast.unparse(node.value).rsplit(".", 1)[-1].strip("_")


def test_names_say_what_is_inside() -> None:
    """Rooms are named after the trade."""
    check(
        (
            name
            for name in files()
            if name.startswith(("src/", "tests/", "tools/", "benchmarks/"))
            if any(BANNED_NAMES.fullmatch(Path(part).stem) for part in Path(name).parts)
        ),
        "name the file after what it does for whom:",
    )


def test_nothing_is_left_over() -> None:
    """What is not finished is an issue, not a comment."""
    check(_lines(LEFTOVER), "finish it, or open an issue and say why it can wait:")


def test_nobodys_machine_shows_through() -> None:
    """The repository works anywhere: no path of one machine, no address of a package index."""
    check(_lines(FOREIGN), "use a path relative to the repository and the tools' own settings:")


def _lines(pattern: re.Pattern[str]) -> Iterator[str]:
    for name in files():
        for number, line in enumerate(text(name).splitlines(), 1):
            if found := pattern.search(line):
                yield f"{name}:{number}: {found[0]}"


def test_requirements_and_package_agree() -> None:
    """What pip installs for the demo is what the package asks for."""
    package = tomllib.loads(text("pyproject.toml"))["project"]["dependencies"]
    lines = text("requirements.in").splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    assert sorted(package) == sorted(listed), "keep pyproject.toml and requirements.in the same"
