"""SHA-256 of files and of bytes."""

from pathlib import Path

import pytest

from rbinfer._util.hashing import digest, digest_of

# FIPS 180-2, appendix B: one block, two blocks, a million times "a".
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
TWO_BLOCKS = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
TWO_BLOCKS_DIGEST = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
MILLION = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"


def test_bytes_give_the_published_digests() -> None:
    assert digest_of(b"abc") == ABC
    assert digest_of(TWO_BLOCKS) == TWO_BLOCKS_DIGEST
    assert digest_of(b"a" * 1_000_000) == MILLION


@pytest.mark.parametrize("size", [0, 3, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (2 << 20) + 7])
def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path, size: int) -> None:
    data = bytes(i % 251 for i in range(size))
    path = tmp_path / "file"
    path.write_bytes(data)
    assert digest(path) == digest(str(path)) == digest_of(data)


def test_files_are_hashed_one_after_another(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"ab")
    second.write_bytes(b"c")
    assert digest(first, second) == ABC
    assert digest(second, first) != ABC


def test_a_missing_file_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digest(tmp_path / "missing")
