"""Write docs/house.md, a plan of the packages, from the code itself.

``python docs/house.py`` writes it; ``python docs/house.py --check`` fails unless it is current and no
import runs upwards.
"""

import ast
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PLAN = ROOT / "docs" / "house.md"
#: How many modules may lie directly in rbinfer, beside the folders.
MOST_DIRECTLY = 12
#: How many lines a module may have.
MOST_LINES = 450


@dataclass(frozen=True)
class Room:
    """A folder or module of a package, and the names of its modules."""

    name: str
    modules: tuple[str, ...]


def layers_of(package: str) -> list[list[str]]:
    """Return the layers that import-linter holds, top to bottom; each has one room or several."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    contract = next(c for c in settings["contracts"] if c.get("containers") == [package])
    return [
        [room.strip() for room in layer.replace(":", "|").split("|")] for layer in contract["layers"]
    ]


def path_of(module: str) -> Path:
    """Return the file of a module."""
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def first_line(module: str) -> str:
    """Return the first line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path_of(module).read_text())) or ""
    return text.split("\n")[0].split(":param")[0]


def lines(module: str) -> int:
    """Count the lines of a module."""
    return len(path_of(module).read_text().splitlines())


def rooms_of(package: str, graph: grimp.ImportGraph) -> dict[str, Room]:
    """Return the rooms of a package that layers name, by their names."""
    found = {}
    for layer in layers_of(package):
        for name in layer:
            inside = f"{package}.{name}"
            modules = [m for m in graph.modules if m == inside or m.startswith(inside + ".")]
            found[name] = Room(name, tuple(sorted(modules)))
    return found


def arrows_between(rooms: dict[str, Room], graph: grimp.ImportGraph) -> Counter[tuple[str, str]]:
    """Count the imports from each room to each other one."""
    room_of = {module: room.name for room in rooms.values() for module in room.modules}
    arrows: Counter[tuple[str, str]] = Counter()
    for module, room in room_of.items():
        for imported in graph.find_modules_directly_imported_by(module):
            other = room_of.get(imported)
            if other is not None and other != room:
                arrows[room, other] += 1
    return arrows


def chapter(package: str) -> tuple[str, list[str]]:
    """Describe a package; return the text, and what is wrong with it."""
    graph = grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)
    layers = layers_of(package)
    rooms = rooms_of(package, graph)
    arrows = arrows_between(rooms, graph)
    height = {name: len(layers) - k for k, layer in enumerate(layers) for name in layer}
    faults = [f"{a} -> {b} runs upwards" for a, b in arrows if height[a] < height[b]]
    directly = [m for m in graph.modules if m.count(".") == 1 and path_of(m).name != "__init__.py"]
    directly = sorted({*directly, package})
    if package == "rbinfer" and len(directly) > MOST_DIRECTLY:
        faults.append(f"{len(directly)} modules lie directly in {package}; {MOST_DIRECTLY} are allowed")
    long = [m for m in graph.modules if lines(m) > MOST_LINES]
    faults += [f"{m} has {lines(m)} lines; {MOST_LINES} are allowed" for m in long]
    n_upwards = sum("upwards" in fault for fault in faults)
    text = [
        f"## {package}",
        "",
        f"{len(graph.modules)} modules in {len(rooms)} folders on {len(layers)} layers. There are "
        f"{len(arrows)} pairs of folders of which one imports from the other, {n_upwards or 'none'} "
        f"upwards. Directly in the package: {', '.join(m.split('.')[-1] for m in directly)}.",
        "",
        "| layer | folder | modules | what it is | imports |",
        "| --- | --- | --- | --- | --- |",
    ]
    for layer in layers:
        for name in layer:
            room = rooms[name]
            below = sorted((-height[other], other, n) for (of, other), n in arrows.items() if of == name)
            imports = ", ".join(f"{other} ({n})" for _, other, n in below)
            what = first_line(f"{package}.{name}")
            text.append(f"| {height[name]} | `{name}` | {len(room.modules)} | {what} | {imports} |")
    for name, room in rooms.items():
        if len(room.modules) > 1:
            text += [
                "",
                f"### {package}/{name}",
                "",
                "| module | what it is |",
                "| --- | --- |",
            ]
            for module in room.modules[1:]:
                short = module.removeprefix(f"{package}.{name}.").replace(".", "/")
                text.append(f"| `{short}` | {first_line(module)} |")
    return "\n".join(text) + "\n", faults


def main() -> int:
    """Write or check the plan; return the exit code."""
    chapters = [chapter(package) for package in ("rbinfer", "rbtrain")]
    faults = [fault for _, of in chapters for fault in of]
    text = (
        "# Map of the code\n\n"
        "`python docs/house.py` makes this page from the code, and CI checks that it is current. A\n"
        "folder imports from layers below its own, never from above. The number in brackets counts the\n"
        "imports. The description of a module is the first line of its docstring.\n\n"
        + "\n".join(text for text, _ in chapters)
    )
    if "--check" not in sys.argv[1:]:
        PLAN.write_text(text, encoding="utf-8")
    elif not PLAN.exists() or PLAN.read_text(encoding="utf-8") != text:
        faults.append("docs/house.md is not current: run python docs/house.py")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
