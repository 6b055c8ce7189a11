"""Linking of object files that LLVM made, and of damaged ones."""

import ctypes
import mmap
import platform
import sys

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbinfer.kernels import elf
from rbinfer.kernels.elf import LinkError, link

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"), reason="ELF for x86-64"
)

SUM = """
define double @entry(double %x) {
    %y = fadd double %x, 0x3FF8000000000000
    %z = call double @twice(double %y)
    ret double %z
}
define internal double @twice(double %x) noinline {
    %y = fmul double %x, 0x4004000000000000
    ret double %y
}
"""
FILL = """
declare ptr @memset(ptr, i32, i64)
define void @entry(ptr %p, i64 %n) {
    call ptr @memset(ptr %p, i32 7, i64 %n)
    ret void
}
"""
STRANGER = """
declare double @cos(double)
define double @entry(double %x) {
    %y = call double @cos(double %x)
    ret double %y
}
"""
VARIABLE = """
@count = internal global i64 5
define i64 @entry() {
    %n = load volatile i64, ptr @count
    store volatile i64 %n, ptr @count
    ret i64 %n
}
"""
ADDRESSES = """
@a = internal constant i64 5
@table = constant [1 x ptr] [ptr @a]
define ptr @entry() {
    ret ptr @table
}
"""


def compiled(text, reloc="pic", triple=None):
    if llvm.llvm_version_info[0] < 16:
        pytest.skip("this LLVM writes pointers in another way")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(triple or llvm.get_process_triple())
    machine = target.create_target_machine(opt=2, reloc=reloc, codemodel="small")
    return machine.emit_object(llvm.parse_assembly(text))


def called(code, kind, *arguments):
    """Call code in pages of memory that may be executed."""
    pages = mmap.mmap(-1, len(code.code), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    pages.write(code.code)
    address = np.frombuffer(pages, np.uint8).ctypes.data + code.entry
    return ctypes.CFUNCTYPE(*kind)(address)(*arguments)


def test_constants_and_functions_are_found():
    code = link(compiled(SUM), "entry")
    assert called(code, (ctypes.c_double, ctypes.c_double), 2.0) == (2.0 + 1.5) * 2.5


@pytest.mark.parametrize("n", [0, 1, 7, 64, 1000])
def test_fill(n):
    code = link(compiled(FILL), "entry")
    values = np.zeros(n + 2, np.uint8)
    called(code, (None, ctypes.c_void_p, ctypes.c_int64), values[1:].ctypes.data, n)
    assert values.tolist() == [0, *[7] * n, 0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (STRANGER, "needs 'cos'"),
        (VARIABLE, "no constants: .data"),
        (ADDRESSES, "no constants: .data.rel.ro"),
    ],
)
def test_what_cannot_be_linked_is_named(text, said):
    with pytest.raises(LinkError, match=said):
        link(compiled(text), "entry")


def test_function_that_is_not_there():
    with pytest.raises(LinkError, match="no function 'other'"):
        link(compiled(SUM), "other")


def test_code_for_one_place():
    with pytest.raises(LinkError, match="relocations of the kind"):
        link(compiled(SUM, reloc="static").replace(b"\x02\0\0\0\x05", b"\x0b\0\0\0\x05"), "entry")


@pytest.mark.parametrize("data", [b"", b"MZ\x90\0", b"\x7fELF\x01\x01" + bytes(100), bytes(64)])
def test_no_object_file(data):
    with pytest.raises(LinkError):
        link(data, "entry")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_object_files_are_refused_or_linked(data):
    """Never another error, nor memory without end."""
    content = bytearray(compiled(FILL))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    try:
        code = link(bytes(content), "entry")
    except LinkError:
        return
    assert len(code.code) < 10 * len(content) + len(elf._BUILTINS) * 4096
