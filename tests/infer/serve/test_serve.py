"""A service in a process of its own: what it answers, what it refuses, and that it goes on."""

import bz2
import gzip
import io
import json
import lzma
import os
import signal
import socket
import struct
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.cli import main

from .conftest import FIELD, form, running, wait_until


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What the command line says of the image."""
    path = tmp_path_factory.mktemp("expected") / "out.json"
    with path.open("w") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", file)
        assert main(["classify", str(FIELD), "--json", "-q", "--device", "cpu"]) == 0
    return json.loads(path.read_text())


def is_alive(service, folder, expected):
    status, found = service.classify({"image": str(folder / "field.fits")})
    return status == 200 and found["rows"] == expected["rows"]


def test_a_path_gives_what_the_command_line_gives(service, folder, expected):
    path = str(folder / "field.fits")
    status, found = service.classify({"image": path})
    assert status == 200
    assert found["rows"] == expected["rows"]
    apart = ("image", "seconds")
    known = {key: value for key, value in expected["summary"].items() if key not in apart}
    assert {key: value for key, value in found["summary"].items() if key not in apart} == known
    assert found["summary"]["image"] == path
    assert found["warnings"] == []


def test_bytes_give_the_same(service, expected):
    content = FIELD.read_bytes()
    for sent in (content, gzip.compress(content)):
        status, found = service.classify(image=sent)
        assert status == 200
        assert found["rows"] == expected["rows"]
        assert found["summary"]["image"] == "image.fits"


def test_npy_and_positions_and_options(service, expected):
    sent = io.BytesIO()
    np.save(sent, fits.getdata(FIELD))
    xy = {name: [row[name] for row in expected["rows"][:7]] for name in ("x", "y")}
    request = {"positions": xy, "options": {"threshold": 0.9, "show": ["x", "rb_score", "rb_p_star"]}}
    status, found = service.classify(request, sent.getvalue())
    assert status == 200
    assert [row["x"] for row in found["rows"]] == xy["x"]
    assert found["rows"][0].keys() == {"x", "rb_score", "rb_p_star"}
    assert found["summary"]["threshold"] == 0.9
    assert found["summary"]["catalog"] == "the positions"
    # An option of one request is no other's.
    assert service.classify(image=FIELD.read_bytes())[1]["summary"]["threshold"] == 0.5


def test_a_catalogue_comes_back_in_its_order(service, expected):
    table = Table({"id": ["b", "a"], "X": [50.0, 120.0], "Y": [60.0, 130.0]})
    sent = io.StringIO()
    table.write(sent, format="ascii.csv")
    options = {"options": {"x_col": "X", "y_col": "Y", "origin": 1, "trust_positions": True}}
    status, found = service.classify(options, FIELD.read_bytes(), sent.getvalue().encode())
    assert status == 200
    assert [row["id"] for row in found["rows"]] == ["b", "a"]


def test_the_detector_of_a_service_is_for_requests_without_positions(expected):
    xy = {name: [row[name] for row in expected["rows"][:7]] for name in ("x", "y")}
    with running("--port", 0, "--detector", "sep") as own:
        status, found = own.classify({"positions": xy}, FIELD.read_bytes())
        assert (status, len(found["rows"])) == (200, 7)
        status, found = own.classify(image=FIELD.read_bytes())
        assert (status, len(found["rows"])) == (200, len(expected["rows"]))
        assert own.end() == 0


def test_the_log_names_what_was_sent():
    pixels = fits.getdata(FIELD)
    sent = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(pixels), fits.ImageHDU(pixels)]).writeto(sent)
    body, kind = form(image=sent.getvalue(), name="m31 [R].fits")
    with running("--port", 0) as own:
        _, _, answer = own.ask("POST", "/classify", body, {"Content-Type": kind})
        assert own.end() == 0
    said = "m31 [R].fits: 1 of 2 images (HDU 0) was scored"
    assert said in json.loads(answer)["warnings"][0]
    assert [line for line in own.texts if said in line]
    assert not [line for line in own.texts if "rbinfer-" in line]


def test_arrow_holds_the_same(service, expected):
    pyarrow = pytest.importorskip("pyarrow")
    body, kind = form(image=FIELD.read_bytes())
    headers = {"Content-Type": kind, "Accept": "application/vnd.apache.arrow.stream"}
    status, told, answer = service.ask("POST", "/classify", body, headers)
    assert (status, told["content-type"]) == (200, "application/vnd.apache.arrow.stream")
    table = pyarrow.ipc.open_stream(answer).read_all()
    assert table.column_names == list(expected["rows"][0])
    assert table["rb_class"].to_pylist() == [row["rb_class"] for row in expected["rows"]]
    scores = [row["rb_score"] for row in expected["rows"]]
    np.testing.assert_array_equal(table["rb_score"].to_numpy(), np.array(scores, np.float32))
    summary = json.loads(table.schema.metadata[b"rb_summary"])
    assert summary["detections"] == len(scores)


def test_sixteen_clients_each_get_their_own(service, tmp_path):
    """Images of different sizes, so that an answer to another's question shows."""
    images = []
    for k in range(16):
        path = tmp_path / f"{k}.fits"
        fits.writeto(path, fits.getdata(FIELD)[: 200 + 8 * k, : 200 + 8 * k])
        images.append(path.read_bytes())
    alone = [service.classify(image=image)[1]["rows"] for image in images]
    assert len({len(rows) for rows in alone}) > 8

    def client(k):
        return [service.classify(image=images[k]) for _ in range(4)]

    with ThreadPoolExecutor(16) as pool:
        for k, answers in enumerate(pool.map(client, range(16))):
            assert [status for status, _ in answers] == [200] * 4
            assert all(found["rows"] == alone[k] for _, found in answers)


@pytest.mark.parametrize(
    ("image", "status"),
    [
        ("{}/way_out.fits", 403),
        ("{}/outside/secret.fits", 403),
        ("{}/../served/../../etc/passwd", 403),
        ("{}", 403),
        ("{}x/field.fits", 403),
        ("/etc/passwd", 403),
        ("/no/such/file", 403),
        ("field.fits", 400),
        ("{}/\0", 400),
        ("{}/none.fits", 422),
    ],
)
def test_paths_outside_the_allowed_folders_are_refused(service, folder, expected, image, status):
    for request in (
        {"image": image.format(folder)},
        {"image": str(folder / "field.fits"), "catalog": image.format(folder)},
    ):
        got, found = service.classify(request)
        assert got == status
        assert found.keys() == {"error"}
    assert is_alive(service, folder, expected)


def claims():
    """Images that claim more than is taken, in few bytes."""
    header = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": 50_000, "NAXIS2": 50_000})
    yield "FITS", header.tostring().encode()
    shape = b"{'descr': '<f4', 'fortran_order': False, 'shape': (50000, 50000), }".ljust(117) + b"\n"
    yield "npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(shape)) + shape + bytes(100)
    yield "gzip", gzip.compress(bytes(30_000_000))
    packed = fits.CompImageHDU(np.zeros((2400, 2400), np.float32), compression_type="GZIP_2")
    sent = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(sent)
    yield "fpack", sent.getvalue()


CLAIMS = dict(claims())


@pytest.mark.parametrize("kind", CLAIMS)
def test_claims_of_much_in_few_bytes_are_refused(service, folder, expected, kind):
    content = CLAIMS[kind]
    assert len(content) < 1_000_000
    status, found = service.classify(image=content)
    assert status in (413, 422), found
    assert "rbinfer-" not in found["error"]  # nothing of our own files
    assert is_alive(service, folder, expected)


def test_a_claim_of_ten_gigabytes_is_refused_at_once(service, folder, expected):
    with service.socket() as client:
        client.sendall(
            b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 10000000000\r\n\r\n"
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 413")
    # Without a length, counted as it comes.
    with service.socket() as client:
        client.sendall(
            b"POST /classify HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        )
        piece = b"%x\r\n%b\r\n" % (1 << 20, bytes(1 << 20))
        answer = b""
        try:
            for _ in range(40):
                client.sendall(piece)
        except OSError:
            pass
        try:
            answer = client.recv(1000)
        except OSError:
            answer = b"closed"
        assert answer.startswith(b"HTTP/1.1 4") or answer == b"closed"
    assert is_alive(service, folder, expected)


def test_half_a_body_and_a_slow_client_are_given_up(service, folder, expected):
    body, kind = form(image=FIELD.read_bytes())
    head = (
        f"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    with service.socket() as silent, service.socket() as slow, service.socket() as gone:
        silent.sendall(head + body[: len(body) // 2])
        gone.sendall(head + body[:1000])
        gone.close()
        slow.sendall(head)
        start = time.monotonic()
        slow.settimeout(0.2)
        answer = b""
        for k in range(100):
            try:
                slow.sendall(body[k : k + 1])
                answer = slow.recv(1000)
                break
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408")
        assert silent.recv(1000).startswith(b"HTTP/1.1 408")
        assert 2 < time.monotonic() - start < 30
    assert is_alive(service, folder, expected)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ([], "must be a JSON object"),
        ({"imag": "/a"}, "did you mean image"),
        ({"image": 3}, "as text"),
        ({}, "give the image once"),
        ({"image": "/a", "catalog": "/b", "positions": {}}, "give one"),
        ({"image": "{}", "options": {"treshold": 0.5}}, "did you mean threshold"),
        ({"image": "{}", "options": {"threshold": 2}}, r"lie in [0, 1]"),
        ({"image": "{}", "options": {"fwhm": "wide"}}, "fwhm cannot be 'wide'"),
        ({"image": "{}", "options": {"mask": "/etc/passwd"}}, "names an HDU"),
        ({"image": "{}", "options": {"model": "/etc/passwd"}}, "no option 'model'"),
        ({"image": "{}", "positions": {"x": [1], "y": [1, 2]}}, "as many numbers"),
        ({"image": "{}", "positions": {"x": ["a"], "y": [1]}}, "lists of numbers"),
        ({"image": "{}", "positions": {"x": [10**400], "y": [1]}}, "lists of numbers"),
        ({"image": "{}", "options": {"fwhm": 10**400}}, "number of 401 digits"),
        ({"image": "{}", "options": {"bad_bits": 2**63}}, "number of 19 digits"),
        ({"image": "{}", "options": {"shift_xy": [1, 10**400]}}, "number of 401 digits"),
    ],
)
def test_what_is_wrong_is_named(service, folder, request_, words):
    if isinstance(request_, dict) and request_.get("image") == "{}":
        request_ = request_ | {"image": str(folder / "field.fits")}
    status, found = service.classify(request_)
    assert status == 400
    assert words in found["error"]


def test_null_shows_what_the_service_shows(service, folder, expected):
    request = {"image": str(folder / "field.fits"), "options": {"show": None}}
    status, found = service.classify(request)
    assert (status, found["rows"]) == (200, expected["rows"])


def header_of(**cards):
    """The bytes of a header, its cards as they are given."""
    known = {"SIMPLE": "T", "BITPIX": "-32", "NAXIS": "2", "NAXIS1": "40", "NAXIS2": "40"} | cards
    text = "".join(f"{key:8}= {value:>20}".ljust(80) for key, value in known.items()) + "END".ljust(80)
    return text.ljust(-(-len(text) // 2880) * 2880).encode()


@pytest.mark.parametrize(
    ("cards", "status", "words"),
    [
        ({"NAXIS": "1000000000000"}, 422, "the image: NAXIS is 1000000000000, but FITS has 0 to 999"),
        ({"ZNAXIS": "1000000000000"}, 422, "the image: ZNAXIS is 1000000000000"),
        ({"NAXIS": "-1"}, 422, "NAXIS is -1"),
        ({"ZNAXIS": "'abc'"}, 400, "ZNAXIS of the image must be a whole number, not 'abc'"),
        ({"ZNAXIS": "1", "ZNAXIS1": "T"}, 400, "ZNAXIS1 of the image must be a whole number"),
        ({"ZNAXIS": "1", "ZBITPIX": "none"}, 400, "ZBITPIX of the image must be a whole number"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_headers_that_cannot_be_are_told(service, cards, status, words, pack):
    content = header_of(**cards) + bytes(3 * 2880)
    got, found = service.classify(image=pack(content))
    assert (got, words in found["error"]) == (status, True), found


def zipped(content):
    sent = io.BytesIO()
    with zipfile.ZipFile(sent, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("image.fits", content)
    return sent.getvalue()


@pytest.mark.parametrize("pack", [zipped, bz2.compress, lzma.compress])
def test_an_image_packed_in_another_way_is_refused(service, pack):
    for content in (pack(FIELD.read_bytes()), gzip.compress(pack(FIELD.read_bytes()))):
        status, found = service.classify(image=content)
        assert status == 422
        assert "must be FITS, also compressed by gzip, or npy" in found["error"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_catalogue_is_measured_unpacked(service, folder, expected, pack):
    small = pack(b"x,y\n50,60\n")
    assert service.classify({}, FIELD.read_bytes(), small)[0] == 200
    status, found = service.classify({}, FIELD.read_bytes(), pack(b"x,y\n" + b"50,60\n" * 4_000_000))
    assert (status, "the catalogue takes more than" in found["error"]) == (413, True)
    status, found = service.classify({}, FIELD.read_bytes(), small[:-4])
    assert (status, "the catalogue cannot be decompressed" in found["error"]) == (422, True)
    assert is_alive(service, folder, expected)


def test_other_mistakes(service, folder):
    assert service.ask("POST", "/classify", b"{", {"Content-Type": "application/json"})[0] == 400
    assert service.ask("POST", "/classify", b"x", {"Content-Type": "image/fits"})[0] == 415
    for path, code in (("/classify", 405), ("/none", 404)):
        status, _, answer = service.ask("GET", path)
        assert status == code
        assert f"there is no GET {path}; there are POST /classify," in json.loads(answer)["error"]
    wrong = {"Content-Type": "multipart/form-data; boundary=b"}
    assert service.ask("POST", "/classify", b"no form", wrong)[0] == 400
    status, found = service.classify(image=b"no image")
    assert status == 422
    assert "must be FITS" in found["error"]
    # Pages of other hosts, that lead a browser here.
    assert service.ask("GET", "/health", headers={"Host": "evil.example:80"})[0] == 403


def test_health_and_metrics(service, folder):
    status, _, answer = service.ask("GET", "/health")
    found = json.loads(answer)
    assert (status, found["status"], found["model"]) == (200, "ok", "default")

    def metric(name):
        text = service.ask("GET", "/metrics")[2].decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    before = metric("rbinfer_detections_total"), metric("rbinfer_scoring_seconds_count")
    _, found = service.classify({"image": str(folder / "field.fits")})
    n = found["summary"]["detections"]
    assert metric("rbinfer_detections_total") == before[0] + n
    assert metric("rbinfer_scoring_seconds_count") == before[1] + 1
    assert metric('rbinfer_requests_total{status="200"}') > 0
    wait_until(lambda: metric("rbinfer_requests_in_flight") == 0)


def test_more_than_are_allowed_are_told_to_wait(folder):
    with running("--port", 0, "--allow", folder, "--max-requests", 2, "--patience", 60) as service:
        head = (
            b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n"
        )
        with service.socket() as one, service.socket() as other:
            one.sendall(head)
            other.sendall(head)
            ask = partial(service.ask, "POST", "/classify", b"{}", {"Content-Type": "application/json"})
            wait_until(lambda: ask()[0] == 429)
            assert ask()[1]["retry-after"] == "1"
            assert service.ask("GET", "/health")[0] == 200
        wait_until(lambda: ask()[0] == 400)
        assert service.classify({"image": str(folder / "field.fits")})[0] == 200
        # A half-sent request does not keep it from ending.
        assert service.end(signal.SIGINT) == 130


def test_what_is_at_work_is_answered_before_the_end(folder):
    with running("--port", 0, "--allow", folder, "--workers", 1) as service:
        answers = []
        ask = partial(service.classify, {"image": str(folder / "field.fits")})
        clients = [threading.Thread(target=lambda: answers.append(ask()[0])) for _ in range(6)]
        for client in clients:
            client.start()
        metrics = b"rbinfer_requests_in_flight 6.0"
        wait_until(lambda: metrics in service.ask("GET", "/metrics")[2] or len(answers) > 0)
        assert service.end() == 0
        for client in clients:
            client.join()
        assert answers == [200] * 6


def test_a_unix_socket_is_this_users_alone_and_gone_at_the_end(folder, tmp_path):
    path = tmp_path / "rb.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()  # as a process leaves it that is killed
    with running("--socket", path, "--allow", folder) as service:
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert service.classify({"image": str(folder / "field.fits")})[0] == 200
        assert main(["serve", "--socket", str(path)]) == 1
        assert service.end() == 0
    assert not path.exists()
    path.write_text("precious")
    assert main(["serve", "--socket", str(path)]) == 1
    assert path.read_text() == "precious"


def test_other_machines_need_a_token(folder, tmp_path, capsys):
    assert main(["serve", "--host", "0.0.0.0", "--port", "0"]) == 1
    assert "give --token-file" in capsys.readouterr().err
    (tmp_path / "short").write_text("abc\n")
    assert main(["serve", "--token-file", str(tmp_path / "short")]) == 1
    assert "16 printable characters" in capsys.readouterr().err
    (tmp_path / "token").write_text("0123456789abcdef\nmore\n")
    with running("--host", "0.0.0.0", "--port", 0, "--token-file", tmp_path / "token") as service:
        body, kind = form(image=FIELD.read_bytes())
        for token, status in ((None, 401), ("wrong", 401), ("0123456789abcdef", 200)):
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            assert service.ask("GET", "/metrics", headers=headers)[0] == status
            assert service.ask("POST", "/classify", body, {"Content-Type": kind} | headers)[0] == status
        assert service.ask("GET", "/health")[0] == 200
        assert service.end() == 0
