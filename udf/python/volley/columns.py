"""Columns of a batch: read where they lie in a slot, and made of what functions
return. numpy, pandas and pyarrow are used only where a function's own code has
imported them; everything works on the standard library alone."""

import array
import collections
import datetime
import decimal
import itertools
import json
import math
import struct
import sys
import uuid

# Types whose values are numbers of the machine: kind on the wire, format, numpy's
# name.
FIXED = {
    "bool": (1, "?", "bool"),
    "int16": (2, "h", "int16"),
    "int32": (3, "i", "int32"),
    "int64": (4, "q", "int64"),
    "float32": (5, "f", "float32"),
    "float64": (6, "d", "float64"),
    "timestamp": (4, "q", "int64"),
    "timestamptz": (4, "q", "int64"),
    "clock": (4, "q", "int64"),
    "date": (3, "i", "int32"),
}
# Types whose values are records: kind and layout.
RECORD = {"numeric": (8, "<16sIB3x"), "interval": (9, "<iiq"), "uuid": (10, "<16s")}
BYTES_KIND, LIST_KIND, STRUCT_KIND = 7, 11, 12
WIDTH = {t: struct.calcsize(f) for t, (_, f, _) in FIXED.items()}
WIDTH.update((t, struct.calcsize(f)) for t, (_, f) in RECORD.items())
TEXTS = {"string", "json", "jsonb"}
SQL = {
    "bool": "boolean", "int16": "smallint", "int32": "integer", "int64": "bigint",
    "float32": "real", "float64": "double precision", "string": "text",
    "bytes": "bytea", "clock": "time",
}
EPOCH = datetime.datetime(1970, 1, 1)
UTC_EPOCH = EPOCH.replace(tzinfo=datetime.timezone.utc)
MICROSECOND = datetime.timedelta(microseconds=1)
EPOCH_DAY = EPOCH.toordinal()
EXACTLY = decimal.Context(prec=1100)

Interval = collections.namedtuple("Interval", "months days microseconds")


# What else types may be called in declarations.
ALIASES = {
    "boolean": "bool", "smallint": "int16", "int2": "int16", "integer": "int32", "int": "int32", "int4": "int32", "bigint": "int64",
    "int8": "int64", "real": "float32", "float4": "float32", "double precision": "float64", "float8": "float64", "decimal": "numeric",
    "text": "string", "varchar": "string", "bytea": "bytes", "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz", "time without time zone": "clock",
}


class Type:
    """A type as manifests write it: a name, []T or struct{name T, ...}."""

    __slots__ = ("name", "elem", "fields")

    def __init__(self, name, elem=None, fields=()):
        self.name, self.elem, self.fields = name, elem, fields

    @staticmethod
    def parse(s):
        t, rest = Type._parse(s.lstrip())
        if rest.strip():
            raise ValueError("type %r" % s)
        return t

    @staticmethod
    def declared(s):
        """A type that an author wrote."""
        t = None
        if isinstance(s, str):
            name = s.strip()
            if name.endswith("[]"):
                return Type("[]", Type.declared(name[:-2]))
            try:
                t = Type.parse(ALIASES.get(name, name))
            except (ValueError, IndexError):
                pass
        if t is None or not t.known():
            raise Fault("42P13", "there is no type %r" % (s,), hint="Types are bool, int16, int32, int64, float32, float64, numeric, string, "
                        "bytes, json, jsonb, uuid, date, timestamp, timestamptz, clock, interval, []T and struct{name T, ...}, or what SQL calls them.")
        return t

    def known(self):
        if self.name == "[]":
            return self.elem.known()
        if self.name == "struct":
            return all(t.known() for _, t in self.fields)
        return self.name in WIDTH or self.name in TEXTS or self.name in ("bytes", "time")

    def __str__(self):
        if self.name == "[]":
            return "[]" + str(self.elem)
        if self.name == "struct":
            return "struct{%s}" % ", ".join("%s %s" % (n if n and _word(n) == len(n) else json.dumps(n), t) for n, t in self.fields)
        return self.name

    def accepts(self, t):
        """Whether columns of t may be given to a function that declares self."""
        if self.name == "time":
            return t.name in ("time", "timestamp", "timestamptz", "date")
        if self.name != t.name or len(self.fields) != len(t.fields):
            return False
        if self.name == "[]":
            return self.elem.accepts(t.elem)
        return all(a[0] == b[0] and a[1].accepts(b[1]) for a, b in zip(self.fields, t.fields))

    @staticmethod
    def _parse(s):
        if s.startswith("[]"):
            elem, rest = Type._parse(s[2:].lstrip())
            return Type("[]", elem), rest
        if not s.startswith("struct{"):
            n = _word(s)
            return Type(s[:n]), s[n:]
        fields, rest = [], s[7:].lstrip()
        while True:
            if rest.startswith('"'):
                name, n = json.JSONDecoder().raw_decode(rest)
            else:
                n = _word(rest)
                name = rest[:n]
            t, rest = Type._parse(rest[n:].lstrip())
            fields.append((name, t))
            rest = rest.lstrip()
            if rest[:1] == "}":
                return Type("struct", None, fields), rest[1:]
            if rest[:1] != ",":
                raise ValueError("type %r" % s)
            rest = rest[1:].lstrip()

    def sql(self):
        if self.name == "[]":
            return self.elem.sql() + "[]"
        if self.name == "struct":
            return "record"
        return SQL.get(self.name, self.name)


def _word(s):
    n = 0
    while n < len(s) and (s[n].isalnum() or s[n] == "_" or s[n] >= "\x80"):
        n += 1
    return n


INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1


class Fault(Exception):
    """An error with an SQLSTATE, and the row that it is about."""

    def __init__(self, code, message, detail="", hint="", row=-1):
        super().__init__(message)
        self.code, self.message, self.detail, self.hint, self.row = code, message, detail, hint, row


def module(name):
    """A module that user code has imported, else None."""
    return sys.modules.get(name)


def need(name):
    """Imports an optional module."""
    try:
        return __import__(name)
    except ModuleNotFoundError as e:
        raise missing(e.name or name) from None


def missing(name):
    return Fault("58000", "module %s is not installed" % name,
                 hint="Install it for %s, or name an interpreter that has it in VOLLEY_PYTHON." % sys.executable)


_UNPACK = [bytes(b >> k & 1 for k in range(8)) for b in range(256)]
_DIGITS = bytes.maketrans(b"\x00\x01", b"01")


def unpack_bits(bits, n):
    """A validity bitmap as a byte per row."""
    np = module("numpy")
    if np is not None:
        return np.unpackbits(np.frombuffer(bits, "uint8"), count=n, bitorder="little").tobytes()
    return b"".join(map(_UNPACK.__getitem__, bits))[:n]


def pack_bits(flags):
    """The opposite of unpack_bits."""
    if not flags:
        return b""
    np = module("numpy")
    if np is not None:
        return np.packbits(np.frombuffer(flags, "uint8"), bitorder="little").tobytes()
    return int(flags[::-1].translate(_DIGITS), 2).to_bytes((len(flags) + 7) // 8, "little")


class Column:
    """Rows [at, at+n) of a column of a batch, where it lies. What is made without
    a copy (numpy, arrow) is valid as long as the slot: while the function runs."""

    __slots__ = ("name", "type", "typ", "at", "n", "bits", "flags", "data", "offs", "kids")

    def __init__(self, name, type_, at, n, bits, flags, data, offs, kids=()):
        self.name, self.type, self.typ, self.at, self.n = name, type_, type_.name, at, n
        self.bits, self.flags, self.data, self.offs, self.kids = bits, flags, data, offs, kids

    @staticmethod
    def load(name, type_, mem, rows, places):
        """The next column that the wire describes in places, in the slot mem."""
        _, has_valid, kids, valid, data, raw, raw_len = next(places)
        bits = mem[valid:valid + (rows + 7) // 8] if has_valid & 1 else None
        t = type_.name
        if t in WIDTH:
            return Column(name, type_, 0, rows, bits, None, mem[data:data + rows * WIDTH[t]], None)
        if t == "struct":
            parts = [Column.load(f, ft, mem, rows, places) for f, ft in type_.fields]
            return Column(name, type_, 0, rows, bits, None, b"", None, parts)
        offs = mem[data:data + 4 * (rows + 1)].cast("i")
        if t == "[]":
            return Column(name, type_, 0, rows, bits, None, b"", offs, [Column.load("", type_.elem, mem, raw_len, places)])
        return Column(name, type_, 0, rows, bits, None, mem[raw:raw + raw_len], offs)

    def slice(self, a, b):
        if self.bits is not None and self.flags is None:
            self.valid()
        return Column(self.name, self.type, self.at + a, b - a, self.bits, self.flags, self.data, self.offs, self.kids)

    def valid(self):
        """A byte per row, 0 for NULL; None when there are no NULLs."""
        if self.flags is None:
            if self.bits is None:
                return None
            self.flags = unpack_bits(self.bits, self.at + self.n)
        f = self.flags[self.at:self.at + self.n]
        return f if 0 in f else None

    def keep(self):
        """A copy that outlives the slot."""
        a, b = self.at, self.at + self.n
        flags = self.valid()
        if self.offs is not None:
            base, end = self.offs[a], self.offs[b]
            offs = array.array("i", self.offs[a:b + 1])
            if base:
                offs = array.array("i", [o - base for o in offs])
            kids = [k.slice(base, end).keep() for k in self.kids]
            return Column(self.name, self.type, 0, self.n, None, flags, bytes(self.data[base:end]), offs, kids)
        w = WIDTH.get(self.typ, 0)
        kids = [k.slice(a, b).keep() for k in self.kids]
        return Column(self.name, self.type, 0, self.n, None, flags, bytes(self.data[a * w:b * w]), None, kids)

    @staticmethod
    def join(parts):
        """One column of several that were kept."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        offs = join_offsets([p.offs for p in parts]) if first.offs is not None else None
        kids = [Column.join(list(k)) for k in zip(*(p.kids for p in parts))]
        return Column(first.name, first.type, 0, sum(p.n for p in parts), None, join_flags(parts),
                      b"".join(p.data for p in parts), offs, kids)

    def values(self):
        return memoryview(self.data).cast("B").cast(FIXED[self.typ][1])[self.at:self.at + self.n]

    def list(self):
        """The rows as Python's own values, None for NULL."""
        flags = self.valid()
        t = self.typ
        if t in FIXED:
            vals = self.values().tolist()
        elif t in RECORD:
            w = WIDTH[t]
            vals = struct.iter_unpack(RECORD[t][1], self.data[self.at * w:(self.at + self.n) * w])
        elif t == "[]":
            vals = self.lists()
        elif t == "struct":
            names = [k.name for k in self.kids]
            vals = [dict(zip(names, v)) for v in zip(*(k.slice(self.at, self.at + self.n).list() for k in self.kids))]
        else:
            vals = self.blobs() if t == "bytes" else self.texts()
        if flags is not None:
            vals = [v if ok else None for v, ok in zip(vals, flags)]
        read = READ.get(t)
        if read is not None:
            return [None if v is None else read(v, i) for i, v in enumerate(vals)]
        return vals

    def lists(self):
        offs = self.offs[self.at:self.at + self.n + 1].tolist()
        base = offs[0]
        all_ = self.kids[0].slice(base, offs[-1]).list()
        return [all_[a - base:b - base] for a, b in zip(offs, offs[1:])]

    def blobs(self):
        offs = self.offs[self.at:self.at + self.n + 1]
        base = offs[0]
        raw = bytes(self.data[base:offs[-1]])
        ends = [o - base for o in offs]
        return [raw[a:b] for a, b in zip(ends, ends[1:])]

    def texts(self):
        offs = self.offs[self.at:self.at + self.n + 1]
        base = offs[0]
        raw = bytes(self.data[base:offs[-1]])
        ends = [o - base for o in offs] if base else offs.tolist()
        if raw.isascii():
            s = raw.decode("ascii")
            return [s[a:b] for a, b in zip(ends, ends[1:])]
        return [raw[a:b].decode() for a, b in zip(ends, ends[1:])]

    def numpy(self):
        """An array; what numpy has no type for is an array of objects."""
        np = need("numpy")
        t = self.typ
        if t not in FIXED or t == "clock":
            return objects(np, self.list())
        a = np.frombuffer(memoryview(self.data).toreadonly(), FIXED[t][2])[self.at:self.at + self.n]
        if t in ("timestamp", "timestamptz"):
            odd = (a == INT64_MIN) | (a == INT64_MAX)
            if odd.any():
                flags = self.valid()
                if flags is not None:
                    odd &= np.frombuffer(flags, "bool")
                if odd.any():
                    raise Fault("22008", "an infinite timestamp has no value in Python", row=int(odd.argmax()))
            a = a.view("M8[us]")
        elif t == "date":
            a = a.astype("int64").view("M8[D]")
        return a

    def masked(self):
        """An array; a masked one where there are NULLs that it could not show."""
        a = self.numpy()
        mask = None if a.dtype.kind == "O" else self.mask(need("numpy"))
        return a if mask is None else need("numpy").ma.MaskedArray(a, mask)

    def mask(self, np):
        flags = self.valid()
        return None if flags is None else np.frombuffer(flags, "bool") == False  # noqa: E712

    def series(self):
        """A pandas Series as pandas UDFs know it: NULL is NaN in floats, NaT in
        timestamps, None in objects, and <NA> of the nullable types in integers and
        booleans, which would lose their values as floats."""
        pd, np = need("pandas"), need("numpy")
        t, mask = self.typ, None
        if self.bits is not None or self.flags is not None:
            mask = self.mask(np)
        if t not in FIXED or t in ("date", "clock"):
            return pd.Series(self.list(), name=self.name, dtype=object)
        a = self.numpy()
        if mask is not None:
            if t in ("float32", "float64"):
                a = a.copy()
                a[mask] = np.nan
            elif t in ("timestamp", "timestamptz"):
                a = a.copy()
                a[mask] = np.datetime64("NaT")
            elif t == "bool":
                a = pd.arrays.BooleanArray(a.copy(), mask)
            else:
                a = pd.arrays.IntegerArray(a.copy(), mask)
        s = pd.Series(a, name=self.name, copy=False)
        return s.dt.tz_localize("UTC") if t == "timestamptz" else s

    def arrow(self):
        """A pyarrow Array on the same memory."""
        pa = need("pyarrow")
        t = arrow_type(pa, self.type)
        if self.typ == "numeric":
            return arrow_decimals(pa, self.list())
        if self.typ == "interval":
            return pa.array(self.list(), t)
        if self.typ == "struct":
            kids = [k.slice(self.at, self.at + self.n).arrow() for k in self.kids]
            flags = self.valid()
            bits = None if flags is None else pa.py_buffer(pack_bits(flags))
            t = pa.struct([(k.name, a.type) for k, a in zip(self.kids, kids)])
            return pa.Array.from_buffers(t, self.n, [bits], children=kids)
        bits = self.bits
        if bits is None and self.flags is not None:
            bits = pack_bits(self.flags[:self.at + self.n])
        bits = None if bits is None else pa.py_buffer(bits)
        data = pa.py_buffer(self.data)
        if self.typ == "[]":
            kid = self.kids[0].arrow()
            return pa.Array.from_buffers(pa.list_(kid.type), self.n, [bits, pa.py_buffer(memoryview(self.offs).cast("B"))], offset=self.at, children=[kid])
        if self.offs is not None:
            return pa.Array.from_buffers(t, self.n, [bits, pa.py_buffer(memoryview(self.offs).cast("B")), data], offset=self.at)
        if self.typ == "bool":
            return pa.Array.from_buffers(pa.uint8(), self.n, [bits, data], offset=self.at).cast(pa.bool_())
        return pa.Array.from_buffers(t, self.n, [bits, data], offset=self.at)


def arrow_decimals(pa, vals):
    """Decimals of one scale, which is what arrow has."""
    scale = whole = 0
    for i, v in enumerate(vals):
        if v is not None:
            _, digits, exp = v.as_tuple()
            if isinstance(exp, str):
                raise Fault("22003", "NaN has no value among the decimals of arrow", row=i)
            scale, whole = max(scale, -exp), max(whole, len(digits) + exp)
            if scale + whole > 38:
                raise Fault("22003", "decimals of arrow have 38 digits, and one scale for all rows of a batch", row=i)
    return pa.array(vals, pa.decimal128(38, scale))


def objects(np, vals):
    a = np.empty(len(vals), dtype=object)
    a[:] = vals
    return a


def arrow_type(pa, t):
    """The type of arrow for one of ours; None lets pyarrow find it."""
    if t.name == "[]":
        e = arrow_type(pa, t.elem)
        return None if e is None else pa.list_(e)
    if t.name == "struct":
        fields = [(n, arrow_type(pa, f)) for n, f in t.fields]
        return None if any(f is None for _, f in fields) else pa.struct(fields)
    f = {
        "bool": pa.bool_, "int16": pa.int16, "int32": pa.int32, "int64": pa.int64, "float32": pa.float32,
        "float64": pa.float64, "string": pa.string, "json": pa.string, "jsonb": pa.string, "bytes": pa.binary,
        "timestamp": lambda: pa.timestamp("us"), "timestamptz": lambda: pa.timestamp("us", "UTC"), "date": pa.date32,
        "clock": lambda: pa.time64("us"), "uuid": lambda: pa.binary(16),
        "interval": lambda: pa.month_day_nano_interval(),
    }.get(t.name)
    return None if f is None else f()


class FarError(Fault, AttributeError):
    """What a Far raises; hasattr takes it for a no."""


class Far:
    """A date, timestamp or time that the module datetime has no value for: infinity,
    years before 1 and after 9999, 24:00. It can be kept, compared and returned; all
    else is 22008. raw is days or microseconds, as in the protocol."""

    __slots__ = ("type", "raw")

    def __init__(self, type_, raw):
        self.type, self.raw = type_, raw

    def __reduce__(self):
        return Far, (self.type, self.raw)

    def __repr__(self):
        most, least = (1 << 31) - 1, -(1 << 31)
        if self.type != "date":
            most, least = INT64_MAX, INT64_MIN
        if self.type == "clock":
            return "24:00:00"
        if self.raw == most or self.raw == least:
            return "infinity" if self.raw > 0 else "-infinity"
        return "%s(%d)" % (self.type, self.raw)

    def _other(self, v):
        if isinstance(v, Far):
            return v.raw if v.type == self.type else None
        try:
            return WRITE[self.type](v, -1)
        except (AttributeError, TypeError):
            return None

    def __eq__(self, v):
        r = self._other(v)
        return NotImplemented if r is None else self.raw == r

    def __lt__(self, v):
        r = self._other(v)
        return NotImplemented if r is None else self.raw < r

    def __gt__(self, v):
        r = self._other(v)
        return NotImplemented if r is None else self.raw > r

    def __le__(self, v):
        r = self._other(v)
        return NotImplemented if r is None else self.raw <= r

    def __ge__(self, v):
        r = self._other(v)
        return NotImplemented if r is None else self.raw >= r

    def __hash__(self):
        return hash((self.type, self.raw))

    def _refuse(self, *args):
        raise FarError("22008", "%s value %r is out of range for Python's datetime" % (SQL.get(self.type, self.type), self))

    __add__ = __radd__ = __sub__ = __rsub__ = _refuse

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse()


def to_date(v, row):
    try:
        return datetime.date.fromordinal(v + EPOCH_DAY)
    except (ValueError, OverflowError):
        return Far("date", v)


def to_timestamp(epoch, name):
    def read(v, row):
        try:
            return epoch + datetime.timedelta(microseconds=v)
        except OverflowError:
            return Far(name, v)
    return read


def to_clock(v, row):
    return (EPOCH + datetime.timedelta(microseconds=v)).time() if v < 86400000000 else Far("clock", v)


def to_numeric(v, row):
    if v[2]:
        return decimal.Decimal("NaN")
    return decimal.Decimal(int.from_bytes(v[0], "little", signed=True)).scaleb(-v[1], EXACTLY)


READ = {
    "date": to_date, "timestamp": to_timestamp(EPOCH, "timestamp"), "timestamptz": to_timestamp(UTC_EPOCH, "timestamptz"), "clock": to_clock,
    "numeric": to_numeric, "interval": lambda v, row: Interval(*v), "uuid": lambda v, row: uuid.UUID(bytes=v[0]),
}


def join_flags(parts):
    if all(p.flags is None for p in parts):
        return None
    return b"".join(b"\x01" * p.n if p.flags is None else p.flags for p in parts)


def join_offsets(lists):
    out = array.array("i", [0])
    for offs in lists:
        d = out[-1] - offs[0]
        if d:
            out.extend(o + d for o in itertools.islice(offs, 1, None))
        else:
            out.extend(array.array("i", offs[1:]))
    return out


class Piece:
    """Rows of a result, as bytes. offs begins at 0."""

    __slots__ = ("n", "flags", "data", "offs", "kids")

    def __init__(self, n, flags, data, offs=None, kids=()):
        self.n, self.flags, self.data, self.offs, self.kids = n, flags, data, offs, kids

    @staticmethod
    def join(parts):
        if len(parts) == 1:
            return parts[0]
        offs = join_offsets([p.offs for p in parts]) if parts[0].offs is not None else None
        kids = [Piece.join(list(k)) for k in zip(*(p.kids for p in parts))]
        return Piece(sum(p.n for p in parts), join_flags(parts), b"".join(p.data for p in parts), offs, kids)

    def slice(self, a, b):
        if a == 0 and b == self.n:
            return self
        flags = None if self.flags is None else self.flags[a:b]
        if self.offs is None:
            w = len(self.data) // self.n
            return Piece(b - a, flags, memoryview(self.data)[a * w:b * w], None, [k.slice(a, b) for k in self.kids])
        base, end = self.offs[a], self.offs[b]
        offs = array.array("i", [o - base for o in self.offs[a:b + 1]])
        data = b"" if self.kids else memoryview(self.data)[base:end]
        return Piece(b - a, flags, data, offs, [k.slice(base, end) for k in self.kids])

    def size(self):
        return (len(self.data) + (0 if self.offs is None else 4 * len(self.offs))
                + (0 if self.flags is None else self.n // 8) + sum(k.size() for k in self.kids))


NONE = type(None)
_TIMESTAMP = {datetime.datetime}
EXACT = {
    "bool": {bool}, "int16": {int}, "int32": {int}, "int64": {int}, "float32": {float, int}, "float64": {float, int},
    "string": {str}, "json": {str}, "jsonb": {str}, "bytes": {bytes}, "timestamp": _TIMESTAMP, "timestamptz": _TIMESTAMP,
    "date": {datetime.date}, "clock": {datetime.time}, "numeric": {decimal.Decimal, int}, "interval": {Interval},
    "uuid": {uuid.UUID}, "[]": {list, tuple}, "struct": {dict, tuple, list},
}
ZERO = {
    "bool": False, "int16": 0, "int32": 0, "int64": 0, "float32": 0.0, "float64": 0.0, "string": "", "json": "", "jsonb": "",
    "bytes": b"", "timestamp": EPOCH, "timestamptz": EPOCH, "date": datetime.date(1970, 1, 1), "clock": datetime.time(),
    "numeric": 0, "interval": Interval(0, 0, 0), "uuid": uuid.UUID(int=0), "[]": (), "struct": None,
}
_FLOATS = {"float32": 0, "float64": 0}
RANGE = {"int16": 1 << 15, "int32": 1 << 31, "int64": 1 << 63}


def wrong(typ, what, row=-1):
    return Fault("39000", "the function returned %s for a result of type %s" % (what, typ.sql()), row=row)


def article(v):
    name = type(v).__name__
    return ("an " if name[0] in "aeiou" else "a ") + name


def convert(type_, v, row):
    """A value of a related type, without loss, as type_'s own; no silent casts."""
    typ = type_.name
    own = EXACT[typ]
    if type(v) in own or type(v) is Far and v.type == typ:
        return v
    if hasattr(v, "dtype") and hasattr(v, "tolist") and typ == "[]":
        return v.tolist()
    if hasattr(v, "item") and hasattr(v, "dtype") and getattr(v, "size", 1) == 1:  # a scalar of numpy
        if v.dtype.kind == "M":
            np = need("numpy")
            if np.isnat(v):
                raise wrong(type_, "NaT", row)
            if typ in ("timestamp", "timestamptz"):
                return EPOCH + int(v.astype("M8[us]").astype("int64")) * MICROSECOND
        v = v.item()
        if type(v) in own:
            return v
    if isinstance(v, bool):
        if typ == "bool":
            return bool(v)
    elif isinstance(v, int) and (typ in RANGE or typ in ("float32", "float64", "numeric")):
        return int(v)
    elif isinstance(v, float) and typ in ("float32", "float64"):
        return float(v)
    elif typ in TEXTS and isinstance(v, str):
        return str.__str__(v)
    elif typ in ("json", "jsonb") and isinstance(v, (dict, list)):
        return json.dumps(v)
    elif typ == "bytes" and isinstance(v, (bytes, bytearray, memoryview)):
        return bytes(v)
    elif typ == "uuid" and isinstance(v, bytes) and len(v) == 16:
        return uuid.UUID(bytes=v)
    elif typ in ("timestamp", "timestamptz") and isinstance(v, datetime.datetime):
        return v
    elif typ == "date" and isinstance(v, datetime.date) and not isinstance(v, datetime.datetime):
        return v
    elif typ == "numeric" and isinstance(v, decimal.Decimal):
        return v
    elif typ == "interval" and isinstance(v, datetime.timedelta):
        return Interval(0, v.days, v.seconds * 1000000 + v.microseconds)
    elif typ == "interval" and isinstance(v, tuple) and len(v) == 3:
        return Interval(v[0], v[1], v[2] // 1000 if hasattr(v, "nanoseconds") else v[2])
    elif typ == "struct" and isinstance(v, (dict, tuple, list)):
        return v
    raise wrong(type_, article(v), row)


def from_list(type_, vals):
    """Encodes Python's own values; None is NULL."""
    typ = type_.name
    kinds = set(map(type, vals))
    flags = None
    if NONE in kinds:
        flags = bytes(v is not None for v in vals)
        kinds.discard(NONE)
        if typ != "struct":
            zero = ZERO[typ]
            vals = [zero if v is None else v for v in vals]
    if not kinds <= EXACT[typ]:
        vals = [None if v is None else convert(type_, v, i) for i, v in enumerate(vals)]
    n = len(vals)
    if typ == "[]":
        offs = array.array("i", itertools.accumulate(map(len, vals), initial=0))
        try:
            return Piece(n, flags, b"", offs, [from_list(type_.elem, list(itertools.chain.from_iterable(vals)))])
        except Fault as e:
            raise in_row(e, vals) from None
    if typ == "struct":
        return from_structs(type_, vals, flags)
    write = WRITE.get(typ)
    if write is not None:
        vals = [write(v, i) for i, v in enumerate(vals)]
    if typ in RECORD:
        return Piece(n, flags, b"".join(vals))
    if typ in FIXED:
        if typ == "bool":
            return Piece(n, flags, bytes(vals))
        try:
            data = array.array(FIXED[typ][1], vals)
        except OverflowError:
            raise out_of_range(type_, vals) from None
        if typ == "float32":
            for i in range(n) if any(map(math.isinf, data)) else ():
                if math.isinf(data[i]) and not math.isinf(vals[i]):
                    raise Fault("22003", "real out of range", row=i)
        return Piece(n, flags, memoryview(data).cast("B") if n else b"")
    if typ in TEXTS:
        all_ = "".join(vals)
        if all_.isascii():
            return Piece(n, flags, all_.encode(), array.array("i", itertools.accumulate(map(len, vals), initial=0)))
        try:
            vals = [v.encode() for v in vals]
        except UnicodeEncodeError:
            for i, v in enumerate(vals):
                try:
                    v.encode()
                except UnicodeEncodeError as e:
                    raise Fault("39000", "the function returned text that is not valid UTF-8: %s" % e.reason, row=i) from None
    try:
        offs = array.array("i", itertools.accumulate(map(len, vals), initial=0))
    except OverflowError:
        raise Fault("54000", "results of one batch are larger than 2 GiB") from None
    return Piece(n, flags, b"".join(vals), offs)


def from_structs(type_, vals, flags):
    cols = [[] for _ in type_.fields]
    names = [n for n, _ in type_.fields]
    for i, v in enumerate(vals):
        if v is None:
            row = [None] * len(names)
        elif isinstance(v, dict):
            if v.keys() != set(names):
                raise wrong(type_, "the fields %s, not %s," % (", ".join(map(str, v)), ", ".join(names)), i)
            row = [v[n] for n in names]
        else:
            row = v
            if len(row) != len(names):
                raise wrong(type_, "%d fields, not %d," % (len(row), len(names)), i)
        for c, x in zip(cols, row):
            c.append(x)
    return Piece(len(vals), flags, b"", None, [from_list(t, c) for (_, t), c in zip(type_.fields, cols)])


def in_row(e, lists):
    """The row of the list that an element with a fault is in."""
    if e.row >= 0:
        at = 0
        for i, v in enumerate(lists):
            at += len(v)
            if e.row < at:
                e.row = i
                break
    return e


def from_numeric(v, row):
    v = decimal.Decimal(v)
    sign, digits, exp = v.as_tuple()
    if exp == "n" or exp == "N":
        return struct.pack("<16sIB3x", b"", 0, 1)
    if exp == "F":
        raise Fault("22003", "numeric out of range: infinity", row=row)
    c = int("".join(map(str, digits)))
    if exp > 0:
        c, exp = c * 10 ** exp if exp < 40 else 10 ** 40 if c else 0, 0
    if c >= 10 ** 38 or exp < -1000:
        raise Fault("22003", "numeric field overflow", detail="A value has at most 38 digits, 1000 of them after the point.", row=row)
    return struct.pack("<16sIB3x", (-c if sign else c).to_bytes(16, "little", signed=True), -exp, 0)


def from_interval(v, row):
    try:
        return struct.pack("<iiq", *v)
    except struct.error:
        raise Fault("22008", "interval out of range", row=row) from None


def from_timestamp(v, row):
    if type(v) is Far:
        return v.raw
    if v.tzinfo is not None:
        v = v.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return (v - EPOCH) // MICROSECOND


def from_clock(v, row):
    if type(v) is Far:
        return v.raw
    return ((v.hour * 60 + v.minute) * 60 + v.second) * 1000000 + v.microsecond


def from_date(v, row):
    return v.raw if type(v) is Far else v.toordinal() - EPOCH_DAY


WRITE = {
    "date": from_date, "timestamp": from_timestamp, "timestamptz": from_timestamp,
    "clock": from_clock, "numeric": from_numeric, "interval": from_interval, "uuid": lambda v, row: v.bytes,
}


def out_of_range(type_, vals):
    limit = RANGE.get(type_.name)
    for i, v in enumerate(vals):
        if limit is not None and not -limit <= v < limit:
            return Fault("22003", "%s out of range" % type_.sql(), row=i)
        if limit is None:
            try:
                float(v)
            except OverflowError:
                return Fault("22003", "%s out of range" % type_.sql(), row=i)
    return Fault("22003", "%s out of range" % type_.sql())


def from_numpy(type_, a):
    typ = type_.name
    np = need("numpy")
    if a.ndim != 1:
        raise wrong(type_, "an array of %d dimensions" % a.ndim)
    flags = None
    if isinstance(a, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(a)
        if mask.any():
            flags = (~mask).tobytes()
        a = a.filled(ZERO[typ] if a.dtype.kind == "O" else np.zeros(1, a.dtype)[0])
    if a.dtype.kind in "OUS" or typ not in FIXED or typ == "clock":
        if a.dtype.kind not in "OUSiu" or a.dtype.kind in "iu" and typ != "numeric":
            raise wrong(type_, "an array of " + str(a.dtype))
        p = from_list(type_, a.tolist())
        if flags is not None:
            p.flags = flags if p.flags is None else bytes(x & y for x, y in zip(flags, p.flags))
        return p
    n = len(a)
    if typ in ("timestamp", "timestamptz", "date"):
        if a.dtype.kind != "M":
            raise wrong(type_, "an array of " + str(a.dtype))
        nat = np.isnat(a)
        if nat.any():
            ok = (~nat).tobytes()
            flags = ok if flags is None else bytes(x & y for x, y in zip(flags, ok))
        if typ != "date":
            a = a.astype("M8[us]").view("int64")
        else:
            days = a.astype("M8[D]")
            if ((days != a) & ~nat).any():
                raise wrong(type_, "times of day")
            a = days.view("int64")
            a = np.where(nat, 0, a).astype("int32")
    else:
        a = narrow(np, type_, a, flags)
    return Piece(n, flags, memoryview(np.ascontiguousarray(a)).cast("B") if n else b"")


def narrow(np, type_, a, flags):
    """Casts without loss: what widens, and integers that fit."""
    typ = type_.name
    target = np.dtype(FIXED[typ][2])
    if a.dtype == target:
        return a
    if a.dtype.kind != "b" and target.kind != "b":
        if np.can_cast(a.dtype, target, "safe"):
            return a.astype(target)
        if a.dtype.kind in "iu" and target.kind == "i":
            limit = RANGE[typ]
            bad = (a >= limit) | (a < -limit) if a.dtype.kind == "i" else a >= limit
            if flags is not None:
                bad &= np.frombuffer(flags, "bool")
            if bad.any():
                raise Fault("22003", "%s out of range" % type_.sql(), row=int(bad.argmax()))
            return a.astype(target)
    e = wrong(type_, "an array of " + str(a.dtype))
    e.hint = "Convert it: .astype(%r)." % str(target)
    raise e


def from_series(type_, s):
    """Encodes a pandas Series; what pandas holds to be missing is NULL."""
    typ = type_.name
    np = need("numpy")
    na = s.isna()
    na = na.to_numpy() if hasattr(na, "to_numpy") else na
    if typ == "numeric" and na.any():  # NaN is a numeric
        na = na & np.array([not isinstance(v, decimal.Decimal) for v in s.tolist()], dtype=bool)
    flags = (~na).tobytes() if na.any() else None
    kind = getattr(s.dtype, "kind", "O")
    if getattr(s.dtype, "tz", None) is not None:
        s = s.dt.tz_convert("UTC").dt.tz_localize(None)
        kind = "M"
    if typ not in FIXED or typ == "clock" or kind in "OUS" or str(s.dtype) in ("category", "string", "str"):
        vals = s.tolist()
        if flags is not None:
            vals = [None if m else v for v, m in zip(vals, na)]
        return from_list(type_, vals)
    if isinstance(s.dtype, np.dtype):
        a = s.to_numpy()
        if flags is not None and kind == "f":
            a = np.where(na, 0, a).astype(a.dtype)
    else:
        a = s.to_numpy(dtype=s.dtype.numpy_dtype, na_value=0)
    if typ in RANGE and a.dtype.kind == "f" and flags is not None:
        # Integers beside NULL are floats in pandas.
        whole = a.astype("int64")
        if (np.abs(a) < 1 << 53).all() and (whole == a).all():
            a = whole
    p = from_numpy(type_, a)
    if flags is not None:
        p.flags = flags
    return p


def from_arrow(type_, a):
    typ = type_.name
    pa, np = need("pyarrow"), need("numpy")
    if isinstance(a, pa.ChunkedArray):
        a = a.combine_chunks()
        if isinstance(a, pa.ChunkedArray):
            a = pa.concat_arrays(a.chunks) if a.num_chunks else pa.array([], a.type)
    if isinstance(a, pa.DictionaryArray):
        a = a.dictionary_decode()
    want = arrow_type(pa, type_)
    t, ints, floats = a.type, pa.types.is_integer, pa.types.is_floating
    if typ == "[]" and pa.types.is_list(t):
        flags = a.is_valid().to_numpy(zero_copy_only=False).tobytes() if a.null_count else None
        o = np.frombuffer(a.buffers()[1], "int32")[a.offset:a.offset + len(a) + 1] if len(a) else np.zeros(1, "int32")
        kid = from_arrow(type_.elem, a.values.slice(int(o[0]), int(o[-1] - o[0])))
        return Piece(len(a), flags, b"", memoryview(np.ascontiguousarray(o - o[0])), [kid])
    if typ == "struct" and pa.types.is_struct(t) and set(f.name for f in t) == set(n for n, _ in type_.fields):
        flags = a.is_valid().to_numpy(zero_copy_only=False).tobytes() if a.null_count else None
        return Piece(len(a), flags, b"", None, [from_arrow(ft, a.field(n)) for n, ft in type_.fields])
    if typ not in FIXED and typ not in TEXTS and typ not in ("bytes", "uuid"):
        return from_list(type_, a.to_pylist())
    if typ == "uuid" and t != want:
        return from_list(type_, a.to_pylist())
    if t != want:
        same = (ints(t) and ints(want) or floats(t) and floats(want) and t.bit_width <= want.bit_width
                or pa.types.is_timestamp(t) and pa.types.is_timestamp(want) or pa.types.is_time(t) and pa.types.is_time(want)
                or pa.types.is_large_string(t) and typ in TEXTS or pa.types.is_large_binary(t) and typ == "bytes"
                or pa.types.is_null(t))
        if not same:
            raise wrong(type_, "an arrow array of " + str(t))
        try:
            a = a.cast(want)
        except pa.ArrowInvalid as e:
            raise Fault("22003", "%s out of range" % type_.sql(), detail=str(e)) from None
    flags = a.is_valid().to_numpy(zero_copy_only=False).tobytes() if a.null_count else None
    n = len(a)
    if typ == "uuid":
        return Piece(n, flags, memoryview(a.buffers()[1]).cast("B")[16 * a.offset:16 * (a.offset + n)] if n else b"")
    if typ in FIXED:
        if typ == "bool":
            v = (a.fill_null(False) if flags else a).to_numpy(zero_copy_only=False)
        else:
            v = np.frombuffer(a.buffers()[1], FIXED[typ][2])[a.offset:a.offset + n] if n else np.zeros(0, FIXED[typ][2])
        return Piece(n, flags, memoryview(np.ascontiguousarray(v)).cast("B") if n else b"")
    if n == 0:
        return Piece(0, None, b"", array.array("i", [0]))
    _, offs, data = a.buffers()
    o = np.frombuffer(offs, "int32")[a.offset:a.offset + n + 1]
    raw = b"" if data is None else memoryview(data).cast("B")[int(o[0]):int(o[-1])]
    return Piece(n, flags, raw, memoryview(np.ascontiguousarray(o - o[0])))


def encode(type_, v):
    """Encodes a column of whatever kind a function returns."""
    np, pd, pa = module("numpy"), module("pandas"), module("pyarrow")
    if pd is not None and isinstance(v, (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)):
        return from_series(type_, v if isinstance(v, pd.Series) else pd.Series(v))
    if np is not None and isinstance(v, np.ndarray):
        return from_numpy(type_, v)
    if pa is not None and isinstance(v, (pa.Array, pa.ChunkedArray)):
        return from_arrow(type_, v)
    if isinstance(v, array.array) and type_.name in RANGE | _FLOATS and v.typecode == FIXED[type_.name][1]:
        return Piece(len(v), None, memoryview(v).cast("B") if len(v) else b"")
    if isinstance(v, (list, tuple, range, array.array)):
        return from_list(type_, list(v))
    raise wrong(type_, article(v))
