"""The page over HTTP: who gets at it, what it answers, and what is on disk when it is killed."""

import contextlib
import http.client
import json
import signal
import socket
import time

import numpy as np
import pytest
from astropy.table import Table

from rbinfer.cli import main
from rbinfer.errors import RbinferError
from rbinfer.io.labels import read_labels

from .conftest import PATIENCE, running, write_results


def _raw(page, text):
    """Send bytes as they are, as no client would; returns the first line of the answer."""
    with socket.create_connection(("127.0.0.1", page.port), timeout=PATIENCE) as connection:
        connection.sendall(text.encode())
        return connection.makefile("rb").readline().decode()


def test_what_the_page_is_made_of(page):
    for path, kind, has in (
        ("", "text/html", b"Real or bogus?"),
        ("page.css", "text/css", b"--bogus"),
        ("label.css", "text/css", b"#single"),
        ("label.js", "text/javascript", b"keydown"),
    ):
        status, headers, body = page.ask("GET", path)
        assert status == 200
        assert headers["content-type"].startswith(kind)
        assert has in body
        assert b"http://" not in body
        assert b"https://" not in body  # nothing is loaded from elsewhere
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers


def test_pictures(page):
    item = page.get("items?window=pictures&count=1")[1]["items"][0]["item"]
    sizes = {}
    for query in ("", "?wider=4", "?stretch=linear", "?stretch=sky&wider=0.5"):
        status, headers, body = page.ask("GET", f"cutout/{item}{query}")
        assert (status, headers["content-type"], body[:4]) == (200, "image/png", b"\x89PNG")
        assert headers["cache-control"] == "private, max-age=600"
        assert headers["x-content-type-options"] == "nosniff"
        sizes[query] = int.from_bytes(body[16:20], "big")
    assert sizes[""] == sizes["?stretch=linear"]
    assert sizes["?wider=4"] == pytest.approx(4 * sizes[""], abs=4)
    assert sizes["?stretch=sky&wider=0.5"] == pytest.approx(sizes[""] / 2, abs=2)
    status, _, body = page.ask("GET", f"star/{item}")  # these images have none
    assert (status, body) == (204, b"")
    status, found = page.get(f"snr/{item}")
    assert status == 200
    assert 5 < found["snr"] < 60  # 400 above a noise of 8 in one pixel of nine


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("item/99999", "no item 99999"),
        ("cutout/99999", "no item 99999"),
        ("cutout/0?wider=1e9", "wider must be a number from 0.1 to 8"),
        ("cutout/0?wider=nan", "wider must be"),
        ("cutout/0?wider=x", "wider must be"),
        ("cutout/0?stretch=log", "'log' is none of asinh, linear, sky"),
        ("items?count=0", "count must be a whole number from 1 to 100"),
        ("items?count=101", "count must be"),
        ("items?count=%C2%B2", "count must be"),
    ],
)
def test_what_is_asked_wrongly(page, path, text):
    status, found = page.get(path)
    assert status == 422
    assert text in found["error"]


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("answer", b"{", "is no JSON"),
        ("answer", b"[1]", "must be a JSON object"),
        ("answer", b'{"item": 0}', "has an item"),
        ("answer", b'{"item": "0", "label": "real"}', "has an item"),
        ("answer", b'{"item": 0, "label": "good"}', "'good' is none of"),
        ("answer", b'{"item": 0, "label": "real", "class": "comet"}', "'comet' does not go with"),
        ("undo", b"{}", "which item"),
        ("undo", b'{"item": 119}', "has no answer"),
        ("undo", b"[" * 5000, "is no JSON"),
    ],
)
def test_bad_answers_are_refused_and_nothing_is_written(page, path, body, text):
    before = page.get("state")[1]["progress"]
    status, _, answer = page.ask("POST", path, body)
    assert status == 422
    assert text in json.loads(answer)["error"]
    assert page.get("state")[1]["progress"] == before


def test_the_token(page):
    secret = page.token
    assert len(secret) >= 43  # 32 random bytes
    for token in ("", "wrong", secret[:-1], secret + "x", secret.upper(), f"{secret}%00"):
        for method, path in (("GET", ""), ("GET", "state"), ("GET", "label.js"), ("POST", "answer")):
            status, _, body = page.ask(method, path, b"{}" if method == "POST" else None, token=token)
            assert status == 403
            assert secret.encode() not in body
    for line in ("GET / HTTP/1.1", f"GET /?token={secret} HTTP/1.1", "GET //state HTTP/1.1"):
        assert " 403 " in _raw(page, f"{line}\r\nHost: 127.0.0.1\r\n\r\n")


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1",
        "https://127.0.0.1:{port}",
        "http://localhost:{port}",
    ],
)
def test_foreign_origins(page, origin):
    headers = {"Origin": origin.format(port=page.port)}
    for method, path in (("POST", "answer"), ("POST", "undo"), ("GET", "state")):
        body = b'{"item": 0, "label": "real"}' if method == "POST" else None
        status, _, _ = page.ask(method, path, body, headers)
        assert status == 403
    assert page.get("item/0")[1]["answer"] is None


def test_its_own_origin_also_through_a_tunnel(page):
    for host in (f"127.0.0.1:{page.port}", "localhost:9999", "[::1]:8800"):
        headers = {"Host": host, "Origin": f"http://{host}"}
        status, _, _ = page.ask("POST", "undo", b"{}", headers)
        assert status == 422  # understood, and nothing to undo


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "", "0.0.0.0"]
)
def test_names_that_others_point_here(page, host):
    # DNS rebinding: a page of another host has its own name lead to this machine.
    name = host.format(port=page.port)
    for headers in ({"Host": name}, {"Host": name, "Origin": f"http://{name}"}):
        for method, path in (("GET", ""), ("POST", "answer")):
            status, _, _ = page.ask(method, path, b"{}" if method == "POST" else None, headers)
            assert status == 403


@pytest.mark.parametrize(
    "path",
    [
        "../../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/app.py",
        "label.js/../app.py",
        "app.py",
        "__init__.py",
        "cutout/../state/../../app.py",
        "cutout/-1",
        "star/0/../../etc/passwd",
        "//etc/passwd",
        "label.css%00.png",
    ],
)
def test_paths_that_lead_elsewhere(page, path):
    line = _raw(page, f"GET /{page.token}/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert " 404 " in line
    status, _, body = page.ask("GET", path)
    assert status == 404
    assert b"root:" not in body
    assert b"import" not in body


def test_large_requests_are_refused(page):
    status, _, _ = page.ask("POST", "answer", b" " * 20_000)
    assert status == 413
    head = f"POST /{page.token}/answer HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    assert " 413 " in _raw(page, f"{head}Content-Length: 9999999999\r\n\r\n")


def test_it_listens_on_this_machine_alone(page):
    psutil = pytest.importorskip("psutil")
    connections = psutil.Process(page.process.pid).net_connections()
    listening = {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_the_address_is_no_argument_of_a_process(page):
    psutil = pytest.importorskip("psutil")
    mine = psutil.Process(page.process.pid)
    for process in (mine, *mine.children(recursive=True)):
        assert page.token not in " ".join(process.cmdline())
    assert page.token not in "".join(text for text in page.texts if "label at" not in text)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_its_end(results, number):
    with running(results, "--who", "Ada Lovelace", "--goal", 3) as page:
        assert page.post("answer", item=0, label="real")[1]["goal"] == 3
        assert page.end(number) == 0
    assert any("1 labels in" in text for text in page.texts)
    assert Table.read(results / "labels.ecsv")["who"].tolist() == ["Ada Lovelace"]


def test_killed_at_random_points_it_loses_no_answer(tmp_path):
    results = write_results(tmp_path)
    rng = np.random.default_rng(8)
    said, perhaps = set(), None
    for _ in range(9):
        with running(results) as page:
            for item in said:
                assert page.get(f"item/{item}")[1]["answer"] == "real"
            if perhaps is not None and page.get(f"item/{perhaps}")[1]["answer"] == "real":
                said.add(perhaps)  # written, and not told any more
            assert page.get("state")[1]["progress"]["labelled"] == len(said)
            for n in range(int(rng.integers(1, 10))):
                item = page.get("items?window=w&count=1")[1]["items"][0]["item"]
                assert page.post("answer", item=item, label="real")[0] == 200
                said.add(item)
                if n == 3:
                    assert page.post("undo", item=item)[0] == 200
                    said.remove(item)
            perhaps = page.get("items?window=w&count=1")[1]["items"][0]["item"]
            body = json.dumps({"item": perhaps, "label": "real"})
            head = f"POST /{page.token}/answer HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            with socket.create_connection(("127.0.0.1", page.port)) as connection:
                connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
                time.sleep(rng.uniform(0.0, 0.02))
                page.process.kill()
                page.process.wait()
    assert len(Table.read(results / "labels.ecsv")) == len(read_labels(results / "labels.ecsv"))


def test_mistakes_on_the_command_line(tmp_path, results, capsys):
    image = tmp_path / "images" / "im0.fits"
    for argv, text in (
        ([str(tmp_path / "none")], "is not a directory"),
        ([str(image)], "name the scored catalogue"),
        ([str(tmp_path / "none.fits"), str(results / "im0.ecsv")], "does not exist"),
        ([str(results), "-o", str(tmp_path / "labels.csv")], "suffix .ecsv"),
        ([str(results), "-o", str(tmp_path / "no" / "labels.ecsv")], "does not exist; make it first"),
        ([str(results), "--images", str(image)], "is not a directory"),
        ([str(image), str(results / "im0.ecsv"), "--images", str(tmp_path)], "leave it out"),
    ):
        assert main(["label", "--no-browser", *argv]) == 1
        assert text in capsys.readouterr().err


def test_a_table_of_others_is_not_touched(results, capsys):
    table = results / "labels.ecsv"
    Table({"x": [1.0]}).write(table)
    before = table.read_bytes()
    assert main(["label", "--no-browser", str(results)]) == 1
    assert "has other columns than a table of labels" in capsys.readouterr().err
    assert table.read_bytes() == before


def test_the_address_without_its_last_slash(page):
    line = _raw(page, f"GET /{page.token} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert " 307 " in line
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", f"/{page.token}")
        assert connection.getresponse().getheader("location") == f"/{page.token}/"


def test_a_folder_that_cannot_be_written_is_found_before_results_are_read(results, capsys, monkeypatch):
    def refused(self):
        raise RbinferError("labels.ecsv cannot be locked: No locks available")

    monkeypatch.setattr("rbinfer.io.labels.LabelFile.check", refused)
    monkeypatch.setattr("rbinfer.label.pool.read_pool", lambda *_: pytest.fail("read first"))
    assert main(["label", "--no-browser", str(results)]) == 1
    assert "No locks available; name a table in another folder with -o TABLE" in capsys.readouterr().err
