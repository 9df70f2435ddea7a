"""Expressions over ten million rows in memory, on one thread: anabranch beside DuckDB.

    python3 -m venv ENV && ENV/bin/pip install -r tests/python/requirements.txt numpy
    cargo build --release -p anabranch-expression --example speed
    ENV/bin/python bench/expressions.py target/release/examples/speed [ROWS]

Both have the columns in memory, take each expression five times, and count by their least time. DuckDB counts the rows for which a
condition holds, or the values that are not null, so that it computes all of them and keeps none.
"""

import os
import subprocess
import sys
import tempfile
import time

import duckdb
import numpy
import pyarrow

CONDITIONS = [
    ("integers", "i64 > 0 AND i32 < 100000"),
    ("integers of several widths", "i32 = i16"),
    ("int64 with uint64", "i64 < u64"),
    ("int64 with a literal that has a point", "i64 < 1000.5"),
    ("floats", "f64 > 0.25 AND f64 < 0.75"),
    ("decimals of one scale", "price < cost"),
    ("decimals of two scales", "price < rate"),
    ("a decimal with a literal", "price BETWEEN 10.00 AND 500.5"),
    ("a decimal in a list", "price IN (1.25, 2.5, 3.75, 100)"),
    ("a decimal with an int32", "price < i32"),
    ("a decimal with an int64", "wide < i64"),
    ("a decimal with a float", "price < f64"),
    ("a sum of decimals", "price + cost > 700.00"),
]
VALUES = [
    ("sum of integers", "i64 + i32"),
    ("sum of int32 and int16", "i32 + i16"),
    ("whole quotient of integers", "i64 // i32"),
    ("remainder of integers", "i64 % 7"),
    ("product of floats", "f64 * 1.5 + 2"),
    ("sum of decimals", "price + cost"),
    ("sum of decimals of two scales", "price + rate"),
    ("product of decimals", "price * rate"),
    ("a price with tax", "price * (1 - rate)"),
    ("product of a decimal and an int32", "price * i16"),
    ("sum of a decimal and an int64", "wide + i64"),
    ("sum of wide decimals", "wide + wide"),
    ("product of wide decimals", "wide * 3"),
    ("quotient of decimals", "price / cost"),
    ("rounded decimal", "ROUND(price, 1)"),
    ("absolute decimal", "ABS(price)"),
    ("decimal as a float", "CAST(price AS DOUBLE)"),
    ("float as a decimal", "CAST(f64 AS DECIMAL(18, 4))"),
    ("int64 as a decimal", "CAST(i32 AS DECIMAL(18, 4))"),
    ("decimal as an integer", "CAST(price AS BIGINT)"),
    ("decimal as another", "CAST(rate AS DECIMAL(18, 2))"),
    ("choice of decimals", "CASE WHEN price > cost THEN price ELSE cost END"),
    ("coalesced integers", "COALESCE(i32, i64)"),
    ("greatest of decimals", "GREATEST(price, cost)"),
]


def table(rows):
    """Columns of the usual types, with a null in each hundred values."""
    random = numpy.random.default_rng(1)
    null = lambda: random.random(rows) < 0.01

    def integers(low, high, kind):
        return pyarrow.array(random.integers(low, high, rows, dtype=kind), mask=null())

    def decimals(low, high, precision, scale):
        unscaled = random.integers(low, high, rows, dtype="int64")
        words = numpy.empty((rows, 2), dtype="int64")
        words[:, 0], words[:, 1] = unscaled, unscaled >> 63
        valid = numpy.packbits(~null(), bitorder="little")
        kind = pyarrow.decimal128(precision, scale)
        return pyarrow.Array.from_buffers(kind, rows, [pyarrow.py_buffer(valid), pyarrow.py_buffer(words)])

    return pyarrow.table({
        "i16": integers(-30_000, 30_000, "int16"),
        "i32": pyarrow.array(numpy.where((n := random.integers(-200_000, 200_000, rows, dtype="int32")) == 0, 1, n), mask=null()),
        "i64": integers(-(2**40), 2**40, "int64"),
        "u64": integers(0, 2**40, "uint64"),
        "f64": pyarrow.array(random.random(rows), mask=null()),
        "price": decimals(0, 100_000, 12, 2),
        "cost": decimals(1, 100_000, 12, 2),
        "rate": decimals(0, 10_000, 6, 4),
        "wide": decimals(-(2**60), 2**60, 30, 6),
    })


def least(run):
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return min(times)


def main():
    program, rows = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
    data = table(rows)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "data.arrow")
        with pyarrow.OSFile(path, "wb") as sink, pyarrow.ipc.new_file(sink, data.schema) as writer:
            writer.write_table(data, max_chunksize=1_048_576)
        asked = [sql for _, sql in CONDITIONS + VALUES]
        printed = subprocess.run([program, path, *asked], check=True, capture_output=True, text=True)
    ours = [float(line) for line in printed.stdout.split()]
    connection = duckdb.connect(config={"threads": 1})
    connection.register("given", data)
    connection.execute("CREATE TABLE data AS SELECT * FROM given")
    print(f"| {rows:,} rows, one thread | expression | anabranch, ms | DuckDB {duckdb.__version__}, ms | ratio |")
    print("|---|---|---|---|---|")
    for at, (name, sql) in enumerate(CONDITIONS + VALUES):
        query = f"SELECT count(*) FROM data WHERE {sql}" if at < len(CONDITIONS) else f"SELECT count({sql}) FROM data"
        theirs = least(lambda: connection.execute(query).fetchall())
        mine = ours[at]
        print(f"| {name} | `{sql}` | {mine * 1000:.0f} | {theirs * 1000:.0f} | {mine / theirs:.2f} |", flush=True)


main()
