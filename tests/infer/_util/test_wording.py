"""Messages name parameters to who calls the library, and options to who runs the program."""

import ast
import re
from pathlib import Path

import pytest

import rbinfer
from rbinfer._util.wording import OPTIONS, in_options
from rbinfer.cli import build_parser
from rbinfer.cli.parser import verbs_of

ROOT = Path(rbinfer.__file__).parent
#: Rooms whose texts are about command lines.
OF_THE_TERMINAL = ("cli", "report")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it exists; use `overwrite=True`, or move it", "it exists; use --overwrite, or move it"),
        ("name them by `x_col` and `y_col`", "name them by --x-col and --y-col"),
        ("`x_col='a b', origin=1` is meant", "--x-col 'a b' --origin 1 is meant"),
        ("`device='cuda'` failed; use `device='cpu'`", "--device cuda failed; use --device cpu"),
        ("`flip_x=True, shift_xy=(-1.5, 2.0)`", "--flip-x --shift-xy=-1.5,2.0"),
        ("`scale_xy=0.5` or `shift_xy=(3.0, 0.0)`", "--scale-xy 0.5 or --shift-xy=3.0,0.0"),
        ("give `bayer=True`, or `bayer=False`", "give --bayer, or --no-bayer"),
        ("`shift_xy=()`", "`shift_xy=()`"),
        ("with `real=('star',)` or `real=('star', 'galaxy')`", "with --real star or --real star,galaxy"),
        ("`show`: there is no column `rb_scor`", "--columns: there is no column `rb_scor`"),
        (
            "/data/hdu='3'/mask=b.fits (IMAGETYP = 'Dark')",
            "/data/hdu='3'/mask=b.fits (IMAGETYP = 'Dark')",
        ),
        ("of `x) + (y` and ` `, `a` `", "of `x) + (y` and ` `, `a` `"),
        ("`hdu=open('x')`", "`hdu=open('x')`"),
    ],
)
def test_options_are_named_for_parameters(text, expected):
    assert in_options(text) == expected


def _flags(parser):
    """Yield the options of a parser and of all its verbs."""
    yield from (flag for action in parser._actions for flag in action.option_strings)
    for verb in verbs_of(parser).values():
        yield from _flags(verb)


def test_the_table_names_options_that_there_are():
    flags = set(_flags(build_parser()))
    assert set(OPTIONS.values()) <= flags


def texts_of_the_library():
    """Yield the texts in the library's code that are no docstrings, with their place."""
    for path in sorted(ROOT.rglob("*.py")):
        if path.relative_to(ROOT).parts[0] in OF_THE_TERMINAL or path.name == "wording.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in docstrings
            ):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


def test_no_message_of_the_library_names_an_option():
    options = {
        place: text for place, text in texts_of_the_library() if re.search(r"(?<!\S)--[a-z]", text)
    }
    # Commands: of pip, and of rbinfer as a process of its own.
    commands = {place for place, text in options.items() if "pip install" in text or " " not in text}
    assert set(options) == commands


def test_every_parameter_that_a_message_names_has_an_option():
    named = {
        (place, name)
        for place, text in texts_of_the_library()
        for name in re.findall(r"`([a-z]\w*)\b", text)
    }
    assert len(named) > 25
    assert {(place, name) for place, name in named if name not in OPTIONS} == set()
