"""The functions of the conformance suite in Python: see decls.go, which says the same
in Go. They need the standard library only."""

import time
from typing import Iterator, Optional

import volley

POINT = 'struct{a int64, b string, c []float64, "d d" numeric}'
TYPES = {t: t for t in (
    "bool", "int16", "int32", "int64", "float32", "float64", "string", "bytes", "time", "date", "timestamp",
    "timestamptz", "clock", "interval", "uuid", "json", "jsonb", "numeric")}
TYPES["struct"] = POINT
NUMBERS = ("int16", "int32", "int64", "float32", "float64", "numeric")
BATCH_ROWS = 4
# How vector_X and whole_X get their columns: rows, numpy, pandas or arrow. The suite
# writes another word here to test the others.
STYLE = "rows"
BACKWARDS = {
    "pandas": lambda g: g[::-1],
    "arrow": lambda g: g.take(__import__("pyarrow").array(range(len(g))[::-1], "int64")),
}.get(STYLE, lambda g: {c: v[::-1] for c, v in g.items()})


def echo(g: dict):
    return {"k": g["k"], "x": g["x"]}


def echo_pieces(pieces: Iterator[dict]):
    for g in pieces:
        if g["k"] and g["k"][0] % 2 == 0:
            yield {"k": g["k"], "x": g["x"]}
        else:
            yield from zip(g["k"], g["x"])


def declare(name, t):
    cols = {"k": "int64", "x": t}
    nullable = ["x"]

    class First:
        def __init__(self):
            self.rows = []

        def step(self, x):
            self.rows = self.rows or [x]

        def merge(self, other):
            self.rows = self.rows or other.rows

        def finish(self):
            return self.rows[0] if self.rows else None

    First.__module__ = __name__
    First.__qualname__ = First.__name__ = "First_" + name  # pickle finds it by its name
    fs = {
        "id": volley.scalar(lambda x: x, args={"x": t}, returns=t, nullable=False),
        "null": volley.scalar(lambda x: x, args={"x": t}, returns=t),
        "is_null": volley.scalar(lambda x: x is None, args={"x": t}, returns="boolean"),
        "vector": volley.scalar(lambda x: x, args={"x": t}, returns=t),
        "first": volley.aggregate(First, args={"x": t}, returns=t, nullable=True),
        "echo": volley.grouped_map(lambda ps: echo_pieces(ps), args=cols, columns=cols, nullable=nullable, contract="group_stream"),
        "whole": volley.grouped_map(lambda g: BACKWARDS(g), args=cols, columns=cols, nullable=nullable),
        "batch": volley.grouped_map(lambda g: [(len(g["x"]), x) for x in g["x"]], args=cols, columns=cols, nullable=nullable,
                                    contract="rows", batch_rows=BATCH_ROWS),
        "table": volley.table(lambda k, x: ((i, x) for i in range(k)), args=cols, columns=cols, nullable=nullable),
        "window": volley.window(lambda x, frames: [x[b - 1] if b > a else None for a, b in frames], args={"x": t}, returns=t),
    }
    for n in ("echo", "batch"):
        volley.rows(fs[n])
    for n in ("vector", "whole"):
        getattr(volley, STYLE)(fs[n])
    for kind, f in fs.items():
        globals()["%s_%s" % (kind, name)] = f
    globals()["First_" + name] = None  # not a function of its own ...
    CLASSES["First_" + name] = First


CLASSES = {}
for _name, _type in TYPES.items():
    declare(_name, _type)
    declare("list_" + _name, "[]" + _type)
    globals()["append_" + _name] = volley.scalar(lambda xs, x: xs + [x], args={"xs": "[]" + _type, "x": _type}, returns="[]" + _type)
globals().update(CLASSES)  # ... but what pickle looks for


class Sum:
    def __init__(self):
        self.n, self.sum = 0, 0

    def step(self, x):
        self.n += 1
        self.sum += x

    def merge(self, other):
        self.n += other.n
        self.sum += other.sum

    def finish(self):
        return self.sum if self.n else None


for _name in NUMBERS:
    globals()["add_" + _name] = volley.scalar(lambda a, b: a + b, args={"a": _name, "b": _name}, returns=_name, nullable=False)
    globals()["sum_" + _name] = volley.aggregate(type("Sum_" + _name, (Sum,), {"__module__": __name__}),
                                                 args={"x": _name}, returns=_name, nullable=False)
    globals()["Sum_" + _name] = globals()["sum_" + _name]


@volley.scalar(args={"a": "text", "b": "text"}, returns="text")
def concat_string(a: str, b: str):
    return a + b


@volley.scalar(args={"sep": "text", "xs": "text[]"}, returns="text")
def concat_all(sep: str, xs: list):
    return sep.join("NULL" if x is None else x for x in xs)


@volley.scalar(args={"x": "bigint", "y": "bigint"}, returns="bigint")
def with_default(x: int, y: int):
    return x + y


def seven(x, row=-1):
    if x == 7:
        raise volley.Error("seven", row=row)
    return x


@volley.scalar(args={"x": "bigint"}, returns="bigint")
def fail_at_seven(x: int):
    return seven(x)


@volley.scalar(args={"x": "bigint"}, returns="bigint")
def raise_at_seven(x: int):
    if x == 7:
        raise volley.Error("no sevens", code="22012", detail="There is a seven.", hint="Use eight.")
    return x


@volley.scalar(args={"x": "bigint"}, returns="bigint")
def panic_at_seven(x: int):
    assert x != 7, "seven"
    return x


@volley.scalar(args={"x": "bigint"}, returns="bigint")
def vector_fails(x: int):
    return seven(x)


@volley.scalar(args={"ms": "bigint"}, returns="bigint")
def sleep_ms(ms: int):
    time.sleep(ms / 1000)
    return ms


@volley.scalar(args={"x": "bigint"}, returns="text")
def bad_text(x: int):
    return "\udcff" if x == 7 else ""


@volley.scalar(args={"x": "bigint"}, returns="json")
def bad_json(x: int):
    return "{" if x == 7 else "{}"


@volley.aggregate(args={"x": "float8", "w": "float8"}, returns="float8")
class weighted:
    def __init__(self):
        self.sum = self.weight = 0.0

    def step(self, x: float, w: Optional[float]):
        w = 1 if w is None else w
        self.sum += x * w
        self.weight += w

    def merge(self, other):
        self.sum += other.sum
        self.weight += other.weight

    def finish(self):
        return self.sum / self.weight if self.weight else None


@volley.aggregate(args={"sep": "text", "x": "text", "n": "bigint"}, returns="text")
class joined:
    def __init__(self):
        self.sep, self.all = "", []

    def step(self, sep: str, x: Optional[str], n: int):
        self.sep = sep
        self.all += ["NULL" if x is None else x] * n

    def merge(self, other):
        self.sep = max(self.sep, other.sep)
        self.all += other.all

    def finish(self):
        return self.sep.join(self.all)


@volley.aggregate(args={"x": "bigint"}, returns="bigint")
class distinct_int64:
    def __init__(self):
        self.all = set()

    def step(self, x: int):
        self.all.add(x)

    def merge(self, other):
        self.all |= other.all

    def finish(self):
        return len(self.all)


@volley.aggregate(args={"x": "bigint"}, returns="bigint")
class fail_step(Sum):
    def step(self, x: int):
        super().step(x)
        seven(x)

    def finish(self):
        return self.sum


@volley.aggregate(args={"x": "bigint"}, returns="bigint")
class fail_finish(Sum):
    def step(self, x: int):
        super().step(x)

    def finish(self):
        if self.sum == 7:
            raise volley.Error("seven", code="22012")
        return self.sum


X = {"x": "bigint"}
COUNTS = {"rows": "bigint", "sum": "bigint"}


@volley.grouped_map(args=X, columns=COUNTS, nullable=False)
def count_stream(pieces: Iterator[dict]):
    rows = total = 0
    for g in pieces:
        rows += len(g["x"])
        if 7 in g["x"]:
            seven(7, g["x"].index(7))
        total += sum(g["x"])
    yield rows, total


def _count(g):
    if 7 in g["x"]:
        seven(7, g["x"].index(7))
    return [(len(g["x"]), sum(g["x"]))]


@volley.grouped_map(args=X, columns=COUNTS, nullable=False)
def count_whole(g: dict):
    return _count(g)


@volley.grouped_map(args=X, columns=COUNTS, nullable=False, max_group_bytes=4096)
def count_small(g: dict):
    return _count(g)


@volley.grouped_map(args=X, columns=COUNTS, nullable=False, contract="rows", batch_rows=1000)
def count_batch(g: dict):
    return _count(g)


@volley.grouped_map(args=X, columns=X, nullable=False)
def explode(g: dict):
    for n in g["x"]:
        for i in range(n):
            yield (i,)


@volley.grouped_map(args=X, columns=lambda x: {"a": "bigint", "b": "bigint"}, nullable=False)
def pick_group(g: dict):
    return [(n, n) for n in g["x"]]


@volley.grouped_map(args=X, columns=X, nullable=False)
def strict_column(g: dict):
    return g


@volley.grouped_map(args=X, columns={"x": "bigint", "js": "jsonb[]"}, nullable=False)
def bad_column(g: dict):
    return [(x, ["{}", "]" if x == 7 else "1"]) for x in g["x"]]


@volley.table(args={"lo": "bigint", "hi": "bigint"}, columns={"n": "bigint"})
def series(lo: int, hi: int):
    yield from range(lo, hi + 1)


@volley.table(args=X, columns=X)
def table_fails(x: int):
    yield x
    seven(x)


KNOWN = {"floats": "float8[]", "point": POINT}


def _picked(columns, n):
    if columns is None:
        raise volley.Error("the columns have to be a constant", code="22023")
    return {"c%d" % (i + 1): KNOWN.get(c, c) for i, c in enumerate(columns.split())}


@volley.table(args={"columns": "text", "n": "bigint"}, columns=_picked)
def pick(columns: str, n: int):
    for i in range(n):
        yield (i,) + (None,) * 5


@volley.window(args=X, returns="bigint")
def frame_rows(x, frames):
    return [b - a for a, b in frames]


@volley.window(args=X, returns="bigint")
def window_fails(x, frames):
    return [seven(v, i) for i, v in enumerate(x)]
