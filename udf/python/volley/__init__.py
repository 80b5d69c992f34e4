"""What functions in Python for Volley can import. Nothing of it is needed: plain
functions and type hints say as much.

    import pandas as pd

    def score(x: pd.Series, y: pd.Series) -> pd.Series:   # a batch of rows at a time
        return x * 2 + y

    @volley.numpy                                          # the same without hints
    def twice(x):
        return x * 2
"""

import sys
import types

from .columns import Fault, Interval  # noqa: F401


class Error(Fault):
    """An error with an SQLSTATE: raise volley.Error("negative amount", code="22023")."""

    def __init__(self, message, code="38000", detail="", hint=""):
        super().__init__(code, message, detail, hint)


def _style(style):
    def mark(f):
        f.__volley__ = style
        return f
    return mark


rows = _style("rows")      # one call per row, or per group with a dict of lists
pandas = _style("pandas")  # Series, or a DataFrame per group
numpy = _style("numpy")    # ndarrays, or a dict of ndarrays per group
arrow = _style("arrow")    # pyarrow Arrays, or a Table per group


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
