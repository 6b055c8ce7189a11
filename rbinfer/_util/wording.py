"""Messages of the library in the words of the command line: options for parameters.

The library names what its callers know: parameters, between backquotes. Who runs the program knows
options.
"""

import re
from typing import Any

#: Options of the command line by the parameters that messages name.
OPTIONS = {
    "all_frames": "--all-frames",
    "allow_off_image": "--allow-off-image",
    "anyway": "--anyway",
    "at": "--at",
    "bad_bits": "--bad-bits",
    "bayer": "--bayer",
    "catalog": "--catalog",
    "catalog_format": "--catalog-format",
    "classes": "--class",
    "detector": "--detector",
    "device": "--device",
    "flip_x": "--flip-x",
    "flip_y": "--flip-y",
    "fwhm": "--fwhm",
    "hdu": "--hdu",
    "mask": "--mask",
    "max_false": "--max-false",
    "max_missed": "--max-missed",
    "model": "--model",
    "origin": "--origin",
    "overwrite": "--overwrite",
    "plane": "--plane",
    "psf": "--psf",
    "real": "--real",
    "real_source_types": "--real",
    "recursive": "--recursive",
    "regions_system": "--regions-system",
    "scale_xy": "--scale-xy",
    "shift_xy": "--shift-xy",
    "show": "--columns",
    "swap_xy": "--swap-xy",
    "threads": "--threads",
    "threshold": "--threshold",
    "trust_positions": "--trust-positions",
    "x_col": "--x-col",
    "y_col": "--y-col",
}


def in_options(text: str) -> str:
    """Return a message as the command line says it.

    Parameters
    ----------
    text : str
        Such as "use `device='cpu'`" or "`flip_x=True, shift_xy=(0.0, -1.0)` mends that".

    Returns
    -------
    str
        Such as "use --device cpu" or "--flip-x --shift-xy=0.0,-1.0 mends that". What stands between
        backquotes and is no parameter with an option is left as it is.
    """
    return re.sub("`([^`]{1,200})`", _as_options, text)


def _as_options(quoted: re.Match[str]) -> str:
    import ast

    try:
        call = ast.parse(f"f({quoted[1]})", mode="eval").body
        if not isinstance(call, ast.Call):
            return quoted[0]
        given: list[tuple[Any, Any]] = [(ast.unparse(name), True) for name in call.args]
        given += [(each.arg, ast.literal_eval(each.value)) for each in call.keywords]
        return " ".join(_as_option(OPTIONS[name], value) for name, value in given) or quoted[0]
    except (SyntaxError, ValueError, LookupError):
        return quoted[0]


def _as_option(option: str, value: Any) -> str:
    if value is True:
        return option
    if value is False:
        return option.replace("--", "--no-", 1)
    import shlex

    if not isinstance(value, tuple):
        return f"{option} {shlex.quote(str(value))}"
    text = shlex.quote(",".join(map(str, value)))
    # The first of several numbers may begin with a minus, as options do.
    return f"{option}={text}" if isinstance(value[0], float) else f"{option} {text}"
