"""Names of files on standard streams, whatever these can encode."""

import os
import pty
import subprocess

from ..runs import folders as runs


def test_a_name_that_the_terminal_cannot_encode_is_told_all_the_same(tmp_path):
    inbox = tmp_path / "in"
    inbox.mkdir()
    runs.write_images(inbox, [os.fsdecode(b"caf\xe9.fits")])
    terminal, end = pty.openpty()
    argv = runs.command("watch", inbox, "-o", tmp_path / "out", "--once", "--settle", "0.1")
    env = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(argv, stdout=end, stderr=subprocess.PIPE, env=env, text=True, check=False)
    os.close(end)
    assert done.returncode == 0, done.stderr
    told = os.read(terminal, 4096).decode()
    os.close(terminal)
    assert " caf\\udce9.fits: " in told
    assert [line["ok"] for line in runs.lines(tmp_path / "out" / "watch.jsonl")] == [True]
