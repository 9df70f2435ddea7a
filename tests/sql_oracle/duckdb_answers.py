"""Answers expressions with DuckDB.

Reads one line per batch: {"data": Arrow stream, "expressions": [SQL], "answers": Arrow file to write}.
Writes one line per batch, {"errors": [null | "text" | {row: text}]}: null where all rows have an answer, a text where
the expression as a whole is refused, else the rows that have none. Column eN of the answers is expression N.
"""

import json
import sys

import duckdb
import pyarrow as pa

# Refusals of the expression, whatever the rows hold.
WHOLE = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException, duckdb.SyntaxException)


def connect():
    connection = duckdb.connect()
    for setting in (
        "SET threads = 1",
        "SET TimeZone = 'UTC'",
        # The rule of DuckDB before 2.0, and of ours: a division by zero is null.
        "SET error_on_division_by_zero = false",
        # Rewritten expressions round elsewhere, and errors depend on statistics.
        "PRAGMA disable_optimizer",
    ):
        connection.execute(setting)
    return connection


def column(connection, table, sql):
    answer = connection.sql(f"SELECT {sql} AS answer FROM {table}").to_arrow_table()
    return answer.column(0).combine_chunks()


def by_row(connection, rows, sql):
    """Each row by itself: the answer, or the error, of each."""
    answers, errors = [], {}
    for row in range(rows):
        try:
            answers.append(column(connection, f"row_{row}", sql))
        except duckdb.Error as error:
            answers.append(None)
            errors[row] = str(error)
    types = {answer.type for answer in answers if answer is not None}
    if len(types) != 1:
        return None, errors
    kind = types.pop()
    missing = pa.nulls(1, kind)
    return pa.concat_arrays([missing if answer is None else answer for answer in answers]), errors


def answer(connection, rows, sql):
    try:
        return column(connection, "data", sql), None
    except WHOLE as error:
        return None, str(error)
    except duckdb.Error:
        return by_row(connection, rows, sql)


def batch(connection, job):
    with pa.ipc.open_stream(job["data"]) as stream:
        data = stream.read_all()
    connection.register("given", data)
    connection.execute("CREATE OR REPLACE TABLE data AS SELECT * FROM given")
    for row in range(data.num_rows):
        connection.register("one", data.slice(row, 1))
        connection.execute(f"CREATE OR REPLACE TABLE row_{row} AS SELECT * FROM one")
    columns, errors = [], []
    for sql in job["expressions"]:
        values, error = answer(connection, data.num_rows, sql)
        columns.append(pa.nulls(data.num_rows) if values is None else values)
        errors.append(error)
    table = pa.table(columns, names=[f"e{number}" for number in range(len(columns))])
    with pa.OSFile(job["answers"], "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return {"errors": errors}


def main():
    connection = connect()
    for line in sys.stdin:
        print(json.dumps(batch(connection, json.loads(line))), flush=True)


main()
