"""What functions in Python for Volley can import. Nothing of it is needed: plain
functions and type hints say as much.

    import pandas as pd

    def score(x: pd.Series, y: pd.Series) -> pd.Series:   # a batch of rows at a time
        return x * 2 + y

    @volley.numpy                                          # the same without hints
    def twice(x):
        return x * 2

    @volley.table(args={"lo": "bigint", "hi": "bigint"}, columns={"n": "bigint"})
    def series(lo, hi):                                    # with its SQL types
        for n in range(lo, hi + 1):
            yield (n,)
"""

import sys
import types

from .columns import Far, Fault, Interval  # noqa: F401


class Error(Fault):
    """An error with an SQLSTATE: raise volley.Error("negative amount", code="22023").
    row says which row of the batch or group (0 is the first) it is about, where Volley
    cannot know."""

    def __init__(self, message, code="38000", detail="", hint="", row=-1):
        super().__init__(code, message, detail, hint, row)


def _style(style):
    def mark(f):
        f.__volley__ = style
        return f
    return mark


rows = _style("rows")      # one call per row, or per group with a dict of lists
pandas = _style("pandas")  # Series, or a DataFrame per group
numpy = _style("numpy")    # ndarrays, or a dict of ndarrays per group
arrow = _style("arrow")    # pyarrow Arrays, or a Table per group


def _kind(kind, doc):
    def declare(f=None, *, args=None, returns=None, columns=None, nullable=None, volatility="volatile",
                contract=None, batch_rows=0, max_group_bytes=0):
        def mark(f):
            f.__volley_declared__ = {
                "kind": kind, "args": args, "returns": returns, "columns": columns, "nullable": nullable,
                "volatility": volatility, "contract": contract, "batch_rows": batch_rows, "max_group_bytes": max_group_bytes,
            }
            return f
        return mark if f is None else mark(f)
    declare.__name__, declare.__doc__ = kind, doc
    return declare


# Each can stand alone (@volley.table) and says of what kind a function is; with types
# the artifact needs no declaration in SQL: CREATE EXTENSION makes it. args and columns
# are dicts of name to type, returns is a type: the names of SQL, or those of Volley's
# protocol. nullable (True, False, or the names of arguments) says which arguments the
# function is called with when they are NULL; the hints say so without it.
scalar = _kind("scalar", "A function of a row, or of a batch.")
aggregate = _kind("aggregate", "A class with step, merge and finish, or a function of all values.")
grouped_map = _kind("grouped_map", """A function of a group. contract is "group" (all of it at once),
"group_stream" (an iterator over pieces of it) or "rows" (batches of batch_rows rows).""")
table = _kind("table", """A function of values that gives rows. columns can be a function of the
constant arguments (None for others) that gives such a dict.""")
window = _kind("window", """A function of the columns of a partition, and of the frames, pairs of first
row and row behind the last, if it takes one more argument.""")


# Files written for pandas UDFs elsewhere import decorators that only name the
# result's type, which SQL has declared. They are answered here unless the real
# package is installed.

class _Anything:
    def __init__(self, *args, **named):
        pass

    def __getattr__(self, name):
        return _Anything()

    def __call__(self, *args, **named):
        return _Anything()


def _pandas_udf(f=None, returnType=None, functionType=None):
    if callable(f) and not isinstance(f, _Anything):
        return pandas(f)
    return pandas


def _udf(f=None, returnType=None, **named):
    if callable(f) and not isinstance(f, _Anything):
        return rows(f)
    return rows


def _install_pyspark():
    try:
        __import__("pyspark")
        return
    except ImportError:
        pass
    for name in ("pyspark", "pyspark.sql", "pyspark.sql.functions", "pyspark.sql.types"):
        m = types.ModuleType(name)
        m.__path__ = []
        if name.endswith("types"):
            def getattr_(attr):
                if attr.startswith("__"):
                    raise AttributeError(attr)
                return _Anything
            m.__getattr__ = getattr_
        sys.modules[name] = m
    f = sys.modules["pyspark.sql.functions"]
    f.pandas_udf, f.udf, f.PandasUDFType = _pandas_udf, _udf, _Anything()
    sys.modules["pyspark.sql"].functions = f
