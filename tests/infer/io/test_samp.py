"""Against a hub and a client that listens as TOPCAT and DS9 do, with each package that speaks SAMP."""

import queue
import sys
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.cli import main
from rbinfer.errors import InputError, RbinferError
from rbinfer.io.samp import listeners


@pytest.fixture(params=["astropy.samp", "pyvo.samp"])
def samp(request, monkeypatch):
    """The only package that speaks SAMP."""
    for other in {"astropy.samp", "pyvo.samp"} - {request.param}:
        monkeypatch.setitem(sys.modules, other, None)
    return pytest.importorskip(request.param)


@pytest.fixture
def hub(samp, tmp_path, monkeypatch):
    lock = tmp_path / "hub.lock"
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{lock.as_uri()}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with samp.conf.set_temp("use_internet", False):
        server = samp.SAMPHubServer(
            web_profile=False, mode="multiple", lockfile=str(lock), addr="localhost"
        )
        server.start()
        yield server
        if server.is_running:
            server.stop()


@pytest.fixture
def received(samp, hub):
    """Return what a client that loads tables and images is told, as it comes."""
    client = samp.SAMPIntegratedClient({"samp.name": "viewer"})
    client.connect()
    told = queue.Queue()

    def hear(key, sender, mtype, params, extra):
        told.put((mtype, params))

    for mtype in ("table.load.votable", "image.load.fits"):
        client.bind_receive_notification(mtype, hear)
    yield told
    client.disconnect()


def heard(received):
    return dict(received.get(timeout=20) for _ in range(2))


def path_of(url):
    return Path(url2pathname(urlparse(url).path))


@pytest.fixture
def image(tmp_path, scene):
    path = tmp_path / "sky field.fits"
    fits.writeto(path, scene[0])
    return path


def test_rows_and_image_reach_what_listens(image, received, tmp_path):
    output = tmp_path / "scored.ecsv"
    assert main(["classify", str(image), "-o", str(output), "--samp", "-q"]) == 0
    messages = heard(received)
    assert path_of(messages["image.load.fits"]["url"]) == image
    table = messages["table.load.votable"]
    sent = Table.read(path_of(table["url"]), format="votable")
    written = Table.read(output)
    assert len(sent) == len(written) > 50
    np.testing.assert_array_equal(sent["rb_score"], written["rb_score"])
    assert table["name"] == "sky field"


def test_a_votable_is_sent_as_it_was_written(image, received, tmp_path):
    output = tmp_path / "scored.vot"
    assert main(["classify", str(image), "-o", str(output), "--samp", "-q", "--filter"]) == 0
    assert path_of(heard(received)["table.load.votable"]["url"]) == output


def test_without_a_listener_it_is_told_and_the_rows_are_written(image, hub, tmp_path, capsys):
    output = tmp_path / "scored.vot"
    assert main(["classify", str(image), "-o", str(output), "--samp"]) == 0
    assert "no program at the SAMP hub loads tables" in capsys.readouterr().err
    assert output.exists()


def test_without_a_hub_nothing_is_done(image, samp, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{(tmp_path / 'none').as_uri()}")
    output = tmp_path / "scored.vot"
    assert main(["classify", str(image), "-o", str(output), "--samp", "-q"]) == 1
    assert "no SAMP hub can be reached" in capsys.readouterr().err
    assert not output.exists()


def test_a_hub_that_goes_away_is_an_error(image, hub, tmp_path):
    table = Table({"x": [1.0]})
    table.write(tmp_path / "t.vot", format="votable")
    with listeners() as programs:
        hub.stop()
        with pytest.raises(RbinferError, match="SAMP hub"):
            programs.send(table, image, tmp_path / "t.vot")


def test_rows_of_a_plain_fits_table_are_sent_as_a_votable(image, received, scene, tmp_path):
    catalog, output = tmp_path / "a.fits", tmp_path / "scored.fits"
    Table({"X_IMAGE": scene[1]["x"] + 1, "Y_IMAGE": scene[1]["y"] + 1}).write(catalog)
    argv = ["classify", str(image), "--catalog", str(catalog), "-o", str(output), "--samp", "-q"]
    assert main(argv) == 0
    sent = Table.read(path_of(heard(received)["table.load.votable"]["url"]), format="votable")
    written = Table.read(output)
    assert sent.colnames == written.colnames
    np.testing.assert_array_equal(sent["rb_score"], written["rb_score"])


def test_without_a_package_it_is_said_which_to_install(monkeypatch):
    for name in ("astropy.samp", "pyvo.samp"):
        monkeypatch.setitem(sys.modules, name, None)
    with (
        pytest.raises(InputError, match=r'SAMP needs pyvo\.samp.*pip install "rbinfer\[samp\]"'),
        listeners(),
    ):
        pass
