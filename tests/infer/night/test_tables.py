import numpy as np
from astropy.table import Table, vstack

from rbinfer.night import tables
from rbinfer.night.tables import texts, with_units, write_as_one, write_table


def sources(n, word):
    """Texts of another width in each table, numbers with and without a value."""
    rng = np.random.default_rng(n)
    table = Table({"id": np.arange(n), "kind": texts([word] * n), "ra": rng.normal(size=n)})
    table["score_mean"] = np.where(np.arange(n) % 2, np.nan, 0.25).astype(np.float32)
    return with_units(table)


def test_tables_one_below_the_other_are_one_to_the_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_AT_ONCE", 3)
    parts = [sources(7, "sky"), sources(0, ""), sources(3, "with a space"), sources(1, 'quote " here')]
    write_as_one(parts, tmp_path / "parts.ecsv")
    write_table(vstack(parts), tmp_path / "whole.ecsv")
    assert (tmp_path / "parts.ecsv").read_bytes() == (tmp_path / "whole.ecsv").read_bytes()
    assert len(Table.read(tmp_path / "parts.ecsv")) == 11
    write_as_one([sources(0, "")], tmp_path / "none.ecsv")
    assert Table.read(tmp_path / "none.ecsv").colnames == ["id", "kind", "ra", "score_mean"]
