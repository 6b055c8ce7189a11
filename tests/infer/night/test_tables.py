import warnings

import numpy as np
from astropy.table import Table, vstack

from rbinfer.night import parts
from rbinfer.night.parts import ParquetParts, arrow_columns, texts
from rbinfer.night.tables import UNITS, with_units, write_as_ecsv, write_table


def sources(n, word):
    """Texts of another width in each table, numbers with and without a value."""
    rng = np.random.default_rng(n)
    table = Table({"id": np.arange(n), "kind": texts([word] * n), "ra": rng.normal(size=n)})
    table["score_mean"] = np.where(np.arange(n) % 2, np.nan, 0.25).astype(np.float32)
    return with_units(table)


def written(tables, folder):
    words = [word for table in tables for word in table["kind"]]
    with ParquetParts(folder / "parts.parquet", {"kind": words}, UNITS) as file:
        for table in tables:
            file.add(arrow_columns(table))
    write_as_ecsv(folder / "parts.parquet", folder / "parts.ecsv")
    return folder / "parts.ecsv"


def test_tables_one_below_the_other_are_one_to_the_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "_AT_ONCE", 3)
    some = [sources(7, "sky"), sources(0, ""), sources(3, "with a space"), sources(1, 'quote " here')]
    path = written(some, tmp_path)
    write_table(vstack(some), tmp_path / "whole.ecsv")
    assert path.read_bytes() == (tmp_path / "whole.ecsv").read_bytes()
    assert len(Table.read(path)) == 11
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = Table.read(tmp_path / "parts.parquet")
    assert (table["ra"].unit, table["kind"].dtype) == ("deg", np.dtype("U12"))
    assert table["kind"].tolist() == vstack(some)["kind"].tolist()


def test_no_sources_are_a_table_all_the_same(tmp_path):
    found = Table.read(written([sources(0, "")], tmp_path))
    assert found.colnames == ["id", "kind", "ra", "score_mean"]
    assert found["ra"].unit == "deg"
