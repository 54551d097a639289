"""Opens an export's Parquet with DuckDB, and says whether it has the values of the lines, all of them and no other.

Usage: parquet.py DIR. Each row is made a line again, by the names of its columns and nothing that wrote them: REQUEST_IP is
member "ip" of "request", what is JSON in a text is that JSON, and "other" is what no column has. Prints one JSON object: how many rows
there are of each action as DuckDB counts them, the columns' types, and the first lines that are not their rows. This
ends with a status other than 0 only if nothing could be compared.
"""

import json
import pathlib
import sys

import duckdb

# Members of a line that are objects, of which each has its columns.
NESTED = ("actor", "request", "credential")
# Columns whose texts are JSON.
AS_JSON = ("claims", "credential_act", "other")
# More than these are counted only.
MOST = 5


def line_of(row: dict) -> dict:
    line: dict = {}
    for name, value in row.items():
        if value is None or name == "other":
            continue
        value = json.loads(value) if name in AS_JSON else value
        outer, _, inner = name.partition("_")
        if outer in NESTED:
            line.setdefault(outer, {})[inner] = value
        else:
            line[name] = value
    return merged(line, json.loads(row["other"] or "{}"))


def merged(line: dict, other: dict) -> dict:
    for name, value in other.items():
        if isinstance(value, dict) and isinstance(line.get(name), dict):
            merged(line[name], value)
        elif name in line:
            raise ValueError(f"{name} is twice in {line}")
        else:
            line[name] = value
    return line


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    with duckdb.connect() as database:
        events = database.read_parquet(str(folder / "events.parquet"))
        types = {name: str(kind) for name, kind in zip(events.columns, events.types)}
        counted = database.execute("SELECT action, count(*) FROM events GROUP BY action ORDER BY action").fetchall()
        rows = events.fetchall()
    lines = (folder / "events.ndjson").read_text(encoding="utf-8").splitlines()
    differ = []
    for number, (row, line) in enumerate(zip(rows, lines), start=1):
        read = line_of(dict(zip(types, row)))
        if read != json.loads(line):
            differ.append({"line": number, "row": read})
    told = {"rows": len(rows), "lines": len(lines), "actions": dict(counted), "types": types}
    print(json.dumps(told | {"differing": len(differ), "first": differ[:MOST]}))


main()
