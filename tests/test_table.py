"""The vectors on disk: what was written is found, whatever was cut short."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scholar.library.table import MANY, TORN, Table, key

WIDTH = 8


def vectors(*numbers: float) -> np.ndarray:
    return np.array([[number] * WIDTH for number in numbers], np.float32)


def held(table: Table, *ids: str) -> dict[str, float]:
    found, rows = table.of(ids)
    assert all((row == row[0]).all() for row in rows)
    return {id: float(row[0]) for id, row in zip(found, rows, strict=True)}


@pytest.fixture
def table(tmp_path: Path) -> Table:
    table = Table(tmp_path)
    table.write(["a", "b", "c"], ["1", "2", "3"], vectors(1, 2, 3))
    return table


def test_vectors_are_found_by_their_passages(table: Table) -> None:
    assert held(table, "c", "a") == {"c": 3, "a": 1}
    assert list(held(table, "x", "b", "", "c")) == ["b", "c"]  # in the order asked for
    assert held(table) == held(table, "x") == {}


def test_nothing_is_found_where_nothing_was_written(tmp_path: Path) -> None:
    empty = Table(tmp_path)
    assert not empty
    assert held(empty, "a") == {}
    assert empty.digests() == {}
    empty.write([], [], vectors())
    assert not empty


def test_the_later_of_two_vectors_counts(table: Table) -> None:
    table.write(["b", "d"], ["9", "4"], vectors(9, 4))
    assert held(table, "a", "b", "c", "d") == {"a": 1, "b": 9, "c": 3, "d": 4}
    assert table.digests() == {key("a"): "1", key("b"): "9", key("c"): "3", key("d"): "4"}


def test_many_are_found_as_few_are(tmp_path: Path) -> None:
    table = Table(tmp_path)
    ids = [f"p{n}" for n in range(MANY + 200)]
    table.write(ids, ids, vectors(*range(len(ids))))
    wanted = ids[::-1][:-10]
    assert held(table, *wanted) == {id: float(id[1:]) for id in wanted}
    assert held(table, *wanted[:5]) == {id: float(id[1:]) for id in wanted[:5]}


def test_another_process_finds_the_same(table: Table, tmp_path: Path) -> None:
    other = Table(tmp_path)
    assert other
    assert held(other, "a", "b", "c") == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize("name", ["table.rows", "table.f32"])
@pytest.mark.parametrize("left", [0, 1, 17, 40])
def test_a_write_that_was_cut_short_leaves_what_was_there(
    table: Table, tmp_path: Path, name: str, left: int
) -> None:
    file = tmp_path / name
    before = file.stat().st_size
    table.write(["b", "d"], ["9", "4"], vectors(9, 4))
    with file.open("r+b") as opened:
        opened.truncate(before + left)
    again = Table(tmp_path)
    whole = left // (32 if name == "table.rows" else 4 * WIDTH)
    expected = {"a": 1.0, "b": 9.0 if whole else 2.0, "c": 3.0}
    assert held(again, "a", "b", "c", "d") == expected
    again.write(["d", "b"], ["4", "9"], vectors(4, 9))
    assert held(Table(tmp_path), "a", "b", "c", "d") == {"a": 1, "b": 9, "c": 3, "d": 4}


def test_a_damaged_vector_is_told(table: Table, tmp_path: Path) -> None:
    with (tmp_path / "table.f32").open("r+b") as file:
        file.seek(WIDTH * 4)
        file.write(b"\x07")
    assert Table(tmp_path).digests() == {key("a"): "1", key("b"): TORN, key("c"): "3"}
