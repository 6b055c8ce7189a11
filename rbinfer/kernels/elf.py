"""From an object file to code that runs wherever it lies in memory, and needs nothing but itself.

Formats and relocations are those of the System V ABI and its AMD64 supplement.
"""

import struct
from typing import NamedTuple

from ..errors import RbinferError

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")

_X86_64 = 62
_RELOCATABLE = 1
# Kinds of sections, and their flags.
_PROGBITS, _SYMTAB, _RELA = 1, 2, 4
_WRITABLE, _IN_MEMORY, _THREAD_LOCAL = 1, 2, 0x400
_PAGE = 4096
# Their other kinds: SHT_REL and SHT_CREL.
_OTHER_RELOCATIONS = {9, 0x40000014}
# A function that finds a function (STT_GNU_IFUNC).
_RESOLVER = 10
# Distances between two places of the code; R_X86_64_PC32 and R_X86_64_PLT32.
_DISTANCES = {2, 4}

#: Functions that compilers call by themselves, as code: memset(rdi, esi, rdx) of the C library.
_BUILTINS = {
    "memset": bytes.fromhex(
        "4989f8"  # mov r8, rdi
        "89f0"  # mov eax, esi
        "4889d1"  # mov rcx, rdx
        "f3aa"  # rep stosb
        "4c89c0"  # mov rax, r8
        "c3"  # ret
    ),
    # Numba frees memory that it reserved with it, and kernels reserve none.
    "NRT_MemInfo_call_dtor": bytes.fromhex("c3"),  # ret
}


class LinkError(RbinferError):
    """An object file that needs more than is known here."""


class Code(NamedTuple):
    """Machine code without relocations.

    Attributes
    ----------
    code : bytes
        To lie at the start of a page, and to be executed and read.
    entry : int
        Offset of the function.
    """

    code: bytes
    entry: int


class _Section(NamedTuple):
    name: str
    kind: int
    flags: int
    content: bytes
    link: int
    info: int
    alignment: int


def link(data: bytes, symbol: str) -> Code:
    """Make code of an object file, with all its functions and constants.

    Parameters
    ----------
    data : bytes
        A relocatable object file, ELF for x86-64, compiled as position-independent code.
    symbol : str
        Name of the function to enter.

    Returns
    -------
    Code

    Raises
    ------
    LinkError
        Of another format; variables, addresses, or functions of others are needed; or there is no such
        function.
    """
    try:
        return _link(data, symbol)
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise LinkError(f"the object file is damaged: {error}") from error


def _link(data: bytes, symbol: str) -> Code:
    sections = _sections(data)
    code = bytearray()
    places: dict[int, int] = {}
    for index, section in enumerate(sections):
        # Nobody unwinds the stack of a kernel.
        if not section.flags & _IN_MEMORY or not section.content or section.name == ".eh_frame":
            continue
        if section.alignment > _PAGE:
            raise LinkError(f"the object file has data that start at multiples of {section.alignment}")
        if section.kind != _PROGBITS or section.flags & (_WRITABLE | _THREAD_LOCAL):
            raise LinkError(f"the object file has data that are no constants: {section.name}")
        places[index] = _append(code, section.content, section.alignment)
    symbols = _symbols(sections, places, code)
    for section in sections:
        if section.kind in _OTHER_RELOCATIONS and section.info in places:
            raise LinkError(f"the object file has relocations in {section.name}")
        if section.kind == _RELA and section.info in places:
            for offset, info, addend in _RELOCATION.iter_unpack(section.content):
                kind, (name, target) = info & 0xFFFFFFFF, symbols[info >> 32]
                if kind not in _DISTANCES:
                    raise LinkError(f"the object file has relocations of the kind {kind}, to {name!r}")
                if target is None:
                    raise LinkError(f"the object file needs {name!r}")
                at = places[section.info] + offset
                struct.pack_into("<i", code, at, target + addend - at)
    entry = next((target for name, target in symbols if name == symbol), None)
    if entry is None:
        raise LinkError(f"the object file has no function {symbol!r}")
    return Code(bytes(code), entry)


def _sections(data: bytes) -> list[_Section]:
    magic, kind, machine, *_, at, _, _, _, _, size, count, names = _HEADER.unpack_from(data)
    if not magic.startswith(b"\x7fELF\x02\x01") or kind != _RELOCATABLE or machine != _X86_64:
        raise LinkError("no object file in the ELF format for x86-64")
    if size != _SECTION.size:
        raise LinkError(f"the object file has section headers of {size} bytes")
    headers = [_SECTION.unpack_from(data, at + i * size) for i in range(count)]
    texts = data[headers[names][4] :]
    return [
        _Section(_text(texts, name), kind, flags, data[offset : offset + length], link, info, alignment)
        for name, kind, flags, _, offset, length, link, info, alignment, _ in headers
    ]


def _symbols(
    sections: list[_Section], places: dict[int, int], code: bytearray
) -> list[tuple[str, int | None]]:
    """Return names and places of all symbols; appends to the code what it needs of `_BUILTINS`."""
    table = next((section for section in sections if section.kind == _SYMTAB), None)
    if table is None:
        raise LinkError("the object file has no symbols")
    texts = sections[table.link].content
    found: list[tuple[str, int | None]] = []
    for name_at, info, _, index, value, _ in _SYMBOL.iter_unpack(table.content):
        name = _text(texts, name_at)
        target = places[index] + value if index in places else None
        if info & 15 == _RESOLVER:
            raise LinkError(f"the object file chooses {name!r} when it is loaded")
        if index == 0 and name in _BUILTINS:
            target = _append(code, _BUILTINS[name], 16)
        found.append((name, target))
    return found


def _append(code: bytearray, content: bytes, alignment: int) -> int:
    code.extend(bytes(-len(code) % max(alignment, 1)))
    place = len(code)
    code.extend(content)
    return place


def _text(texts: bytes, at: int) -> str:
    return texts[at : texts.index(0, at)].decode()
