#!/usr/bin/env python3
"""Makes TPC-H or TPC-DS data as Parquet files, for bench-peers where DuckDB
cannot download its extensions itself: they come as Python packages, too.

    python3 -m venv venv
    venv/bin/pip install duckdb==1.4.4 duckdb-extension-tpch==1.4.4 duckdb-extension-tpcds==1.4.4
    venv/bin/python tpcdata.py tpch 0.1 DIRECTORY
"""
import glob
import os
import sys
import sysconfig

import duckdb


def load(con, name):
    try:
        con.execute(f"LOAD {name}")
        return
    except duckdb.Error:
        pass
    found = glob.glob(os.path.join(sysconfig.get_paths()["purelib"], f"duckdb_extension_{name}", "extensions", f"v{duckdb.__version__}", f"{name}.duckdb_extension"))
    if found:
        con.execute(f"LOAD '{found[0]}'")
    else:
        con.execute(f"INSTALL {name}; LOAD {name}")


def main(suite, scale, out):
    os.makedirs(out, exist_ok=True)
    con = duckdb.connect()
    con.execute("PRAGMA threads=2")
    load(con, suite)
    con.execute(f"CALL {'dbgen' if suite == 'tpch' else 'dsdgen'}(sf={float(scale)})")
    for (table,) in con.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall():
        con.execute(f"COPY {table} TO '{os.path.join(out, table)}.parquet' (FORMAT parquet)")
    open(os.path.join(out, "complete"), "w").close()


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("tpch", "tpcds"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
