"""A service whose own options are about catalogues, and requests that are odd but right, or wrong."""

import contextlib
import json

import pytest

from rbinfer.cli import main

from .conftest import FIELD, form, running


@pytest.fixture(scope="module")
def shifted(folder):
    """A service that shifts the positions of catalogues."""
    options = ("--port", 0, "--allow", folder, "--patience", 1, "--shift-xy", "3,3", "--origin", 1)
    with running(*options) as found:
        yield found
        assert found.end() == 0
        assert "Traceback" not in "".join(found.texts)


def test_positions_are_pixels_whatever_the_service_does_to_catalogues(shifted, service, folder):
    path = {"image": str(folder / "field.fits")}
    rows = service.classify(path)[1]["rows"][:5]
    asked = path | {"positions": {name: [row[name] for row in rows] for name in ("x", "y")}}
    scores = [
        [row["rb_score"] for row in each.classify(asked)[1]["rows"]] for each in (service, shifted)
    ]
    assert scores[0] == scores[1]
    # What the request itself says holds.
    moved = shifted.classify(asked | {"options": {"shift_xy": [4, 4], "trust_positions": True}})[1]
    assert [row["rb_x"] for row in moved["rows"]] == pytest.approx([row["x"] + 4 for row in rows])


def test_a_connection_that_asks_nothing_is_closed(shifted):
    with contextlib.closing(shifted.socket()) as idle, contextlib.closing(shifted.socket()) as half:
        half.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-")
        assert idle.recv(1) == b""
        assert half.recv(1) == b""
    assert shifted.ask("GET", "/health")[0] == 200


@pytest.mark.parametrize("image", ["caf\udce9.fits", "none\udcff.fits"])
def test_names_that_are_not_utf_8_come_back_in_json(service, folder, image):
    (folder / "caf\udce9.fits").write_bytes(FIELD.read_bytes())
    status, found = service.classify({"image": str(folder / image), "options": {"hdu": 7}})
    assert status == 422
    assert image in found["error"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"image": "/\ud800.fits"}, 400),
        ({"options": {"shift_xy": [1, None]}}, 400),
        ({"options": {"show": ["\ud800"]}}, 422),
    ],
)
def test_what_cannot_be_is_refused_in_json(service, folder, request_, status):
    found = service.classify({"image": str(folder / "field.fits")} | request_)
    assert found[0] == status
    assert found[1]["error"]


def test_the_case_of_a_media_type_does_not_count(service, folder):
    body = json.dumps({"image": str(folder / "field.fits")}).encode()
    assert service.ask("POST", "/classify", body, {"Content-Type": "APPLICATION/JSON"})[0] == 200
    body, kind = form(image=FIELD.read_bytes())
    kind = kind.replace("multipart/form-data", "Multipart/Form-Data")
    assert service.ask("POST", "/classify", body, {"Content-Type": kind})[0] == 200


@pytest.mark.parametrize("verb", ["serve", "label"])
def test_a_port_that_cannot_be_is_refused(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, *(["."] if verb == "label" else []), "--port", "70000"])
    assert stop.value.code == 2
    assert "70000 is no port: they go up to 65535" in capsys.readouterr().err
