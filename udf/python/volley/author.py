"""Functions as their authors wrote them: loading, finding out how they want to be
called, calling them."""

import ast
import importlib
import importlib.metadata
import inspect
import itertools
import json
import keyword
import linecache
import os
import pickle
import re
import sys
import textwrap
import threading
import time
import traceback
import types
import zipfile

from . import _install_pyspark
from .columns import Column, Fault, Type, article, encode, from_list, missing, module, need

HERE = os.path.dirname(os.path.abspath(__file__))
STATE_PICKLE = 4  # the first byte of a state
STATE_DEAD = b"\x00"  # that of a group that has failed
MAIN = "main"


def place(e, row=-1, group=-1):
    """Notes where an error happened, unless that is known already."""
    r, g = getattr(e, "__place__", (-1, -1))
    try:
        e.__place__ = (r if r >= 0 else row, g if g >= 0 else group)
    except AttributeError:
        pass


def message(e):
    """The ErrorMsg for an exception."""
    row, group = getattr(e, "__place__", (-1, -1))
    args = getattr(e, "__args__", "")
    if isinstance(e, Fault):
        detail = e.detail
        if args:
            detail = ("Arguments: %s. %s" % (args, detail)).rstrip()
        return {"code": e.code, "message": e.message, "detail": detail, "hint": e.hint, "args": args,
                "row": e.row if e.row >= 0 else row, "group": group}
    text = type(e).__name__
    if str(e):
        text += ": " + str(e).split("\n")[0]
    detail = trace(e)
    if args:
        detail = "Arguments: %s.\n%s" % (args, detail)
    return {"code": "53200" if isinstance(e, MemoryError) else "38000", "message": text, "detail": detail, "args": args, "row": row, "group": group}


def trace(e):
    """The traceback without this program's own frames."""
    tb = e.__traceback__
    while tb is not None and os.path.dirname(tb.tb_frame.f_code.co_filename) == HERE:
        tb = tb.tb_next
    text = "".join(traceback.format_exception(type(e), e, tb)).rstrip()
    return text if len(text) <= 8192 else text[:4096] + "\n...\n" + text[-4096:]


def calls(thread):
    """The functions that a thread is in, innermost first, above this program's own."""
    found, frame = [], sys._current_frames().get(thread)
    while frame is not None and os.path.dirname(frame.f_code.co_filename) != HERE:
        found.append("%s (%s:%d)" % (frame.f_code.co_name, os.path.basename(frame.f_code.co_filename), frame.f_lineno))
        frame = frame.f_back
    return "; ".join(found[:12])


def shorten(v):
    s = repr(v)
    return s if len(s) <= 100 else s[:97] + "..."


class Plugin:
    """The code of an artifact: a zip of Python files and volley.json."""

    def __init__(self, manifest, code):
        self.manifest, self.code = manifest, code
        self.lock = threading.Lock()
        self.modules = {}
        with zipfile.ZipFile(code) as z:
            names = z.namelist()
            self.spec = json.loads(z.read("volley.json")) if "volley.json" in names else {}
            self.source = z.read("main.py").decode() if self.spec.get("inline") else None
        if self.source is not None:
            self.source = textwrap.dedent(self.source)
        self.top = sorted(n[:-3] for n in names if n.endswith(".py") and "/" not in n)
        if self.source is None:
            sys.path.insert(0, code)

    def function(self, o):
        """The function that an Open message names."""
        with self.lock:
            for f in self.manifest["functions"]:
                if f["name"] == o["function"]:
                    break
            else:
                raise Fault("39000", "the plugin has no function %r" % o["function"])
            if f["kind"] != o["kind"] and not (o["kind"] == "describe" and f.get("describes")):
                raise Fault("39000", "function %r is %s, not %s" % (f["name"], f["kind"], o["kind"]))
            fn = Function(self.find(f), f, o)
            fn.check_types(o)
            return fn

    def find(self, f):
        """The Python object for a function of the manifest."""
        self.check_requirements()
        names = [a.get("name", "") for a in f["args"]]
        if self.source is not None:
            return self.inline(f["name"], f["kind"], names)
        mod, _, attr = f["name"].rpartition(".")
        if not mod:
            mod = MAIN if MAIN in self.top else self.top[0] if len(self.top) == 1 else ""
        if not mod:
            raise Fault("42P13", "the artifact has the modules %s: name one of them" % ", ".join(self.top),
                        hint="Write AS 'artifact', 'module.function'.")
        m = self.load(mod, lambda: importlib.import_module(mod))
        obj = getattr(m, attr, None)
        if not callable(obj):
            raise Fault("42883", "module %r has no function %r" % (mod, attr))
        return obj

    def load(self, name, f):
        """Runs a module's code, once; an error is the same at every use."""
        if name not in self.modules:
            _install_pyspark()
            try:
                self.modules[name] = f()
            except Fault as e:
                self.modules[name] = e
            except ModuleNotFoundError as e:
                self.modules[name] = missing(e.name)
            except SyntaxError as e:
                self.modules[name] = Fault("42P13", "%s (line %s)" % (e.msg, e.lineno), detail=trace(e))
            except BaseException as e:
                self.modules[name] = e
        m = self.modules[name]
        if isinstance(m, BaseException):
            raise m
        return m

    def check_requirements(self):
        for line in self.spec.get("requirements", ()):
            m = re.match(r"\s*([A-Za-z0-9._-]+)\s*(\[[^]]*\])?\s*([^;#]*)", line)
            if not m:
                continue
            try:
                have = importlib.metadata.version(m[1])
            except importlib.metadata.PackageNotFoundError:
                raise missing(m[1]) from None
            for op, want in re.findall(r"(==|>=|<=|!=|<|>|~=)\s*([0-9][0-9.]*)", m[3]):
                h, w = version(have), version(want)
                ok = {"==": h[:len(w)] == w, ">=": h >= w, "<=": h <= w, "!=": h[:len(w)] != w, "<": h < w, ">": h > w,
                      "~=": h >= w and h[:len(w) - 1] == w[:-1]}[op]
                if not ok:
                    raise Fault("58000", "module %s is installed in version %s, want %s%s" % (m[1], have, op, want),
                                hint="Install it for %s." % sys.executable)

    def inline(self, symbol, kind, names):
        """Source that stands in SQL: a module that defines the function, or the
        body of the function."""
        path = "<function %s>" % symbol

        def run():
            linecache.cache[path] = (len(self.source), None, self.source.splitlines(True), path)
            tree = ast.parse(self.source, path)
            defs = [n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef))]
            self.symbol = next((d for d in defs if d.lower() == symbol.lower()), None)
            if self.symbol is None:
                if returns(tree.body, not defs):
                    tree = self.body(tree, symbol, kind, names, path)
                    self.symbol = "_volley_body"
                elif not defs and kind == "aggregate":
                    raise Fault("42P13", "the source defines no class %s with step, merge and finish" % symbol)
                elif not defs:
                    raise Fault("42P13", "the source neither returns a value nor defines a function %s" % symbol)
                else:
                    self.symbol = defs[-1]
            m = types.ModuleType(MAIN)
            m.__file__ = path
            sys.modules[MAIN] = m
            exec(compile(tree, path, "exec"), m.__dict__)
            return m
        return getattr(self.load(MAIN, run), self.symbol)

    def body(self, tree, symbol, kind, names, path):
        if kind == "aggregate":
            raise Fault("42P13", "an aggregate is a class with step, merge and finish, not a body")
        if kind == "grouped_map":
            names = ["df"]
        elif kind == "window":
            names = names + ["frames"]
        names = [n or "arg%d" % (i + 1) for i, n in enumerate(names)]
        for n in names:
            if not n.isidentifier() or keyword.iskeyword(n):
                raise Fault("42P13", "%r cannot be the name of an argument in Python" % n)
        f = ast.parse("def _volley_body(%s):\n pass" % ", ".join(names), path)
        f.body[0].body = tree.body
        return f


def version(s):
    return tuple(int(x) for x in re.findall(r"\d+", s.split("+")[0]))


def returns(body, raises):
    """Whether statements return or yield (or raise), outside of functions of
    their own."""
    stack = list(body)
    while stack:
        n = stack.pop()
        if isinstance(n, (ast.Return, ast.Yield, ast.YieldFrom)) or raises and isinstance(n, ast.Raise):
            return True
        if not isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.AsyncFunctionDef)):
            stack.extend(ast.iter_child_nodes(n))
    return False


def hint_text(a):
    if isinstance(a, str):
        return a
    text = repr(a)
    return text[8:-2] if text.startswith("<class '") else text


def streams(text):
    return "Iterator" in text or "Iterable" in text or "Generator" in text


def style_of_hint(text, group):
    """How a parameter with this hint wants its column, "" when it does not say."""
    if not text:
        return ""
    if not group and streams(text):
        raise Fault("0A000", "functions over iterators of batches (%s) are not supported" % text,
                    hint="Take one batch and return one.")
    if group:
        text = re.sub(r"^[\w.]*(Iterator|Iterable|Generator)\[(.*)\]$", r"\2", text)
        if "DataFrame" in text:
            return "pandas"
        if text.lower().startswith(("dict", "typing.dict", "collections.abc.mapping", "mapping")):
            return "numpy" if "ndarray" in text else "pandas_dict" if "Series" in text else "rows"
        return "arrow" if "Table" in text or "RecordBatch" in text else ""
    if "Series" in text:
        return "pandas"
    if "ndarray" in text or "NDArray" in text:
        return "numpy"
    if re.search(r"\b(pa|pyarrow)\b.*Array", text):
        return "arrow"
    return "rows"


def optional(text):
    return not text or "None" in text or "Optional" in text or text in ("object", "typing.Any", "Any")


def parameters(f, skip=0):
    try:
        return list(inspect.signature(f).parameters.values())[skip:]
    except (TypeError, ValueError):
        return None


def hints(params):
    return [hint_text(p.annotation) if p.annotation is not p.empty else "" for p in params or ()]


def declaration(obj):
    return getattr(obj, "__volley_declared__", None) or {}


def named_types(v):
    """The dict of names and types that an author wrote, as pairs."""
    pairs = v.items() if isinstance(v, dict) else [p if isinstance(p, tuple) else ("", p) for p in v]
    return [(n, str(Type.declared(t))) for n, t in pairs]


class Function:
    """A function and how it is called: style is rows, pandas, numpy or arrow."""

    def __init__(self, obj, desc, o):
        self.desc, self.kind, self.name = desc, desc["kind"], desc["name"]
        if type(obj).__name__ == "function" and hasattr(obj, "func") and hasattr(obj, "returnType"):
            obj.func.__volley__ = "pandas" if getattr(obj, "evalType", 100) >= 200 else "rows"
            obj = obj.func  # a function that pyspark wrapped
        self.obj = obj
        self.declared = declaration(obj)
        self.names = [a.get("name") or "arg%d" % (i + 1) for i, a in enumerate(desc["args"])]
        self.args = [Type.parse(t) for t in o["args"]]
        self.outs = [Type.parse(t) for t in o["out"]]
        self.columns = o.get("out_names") or [c.get("name") for c in desc.get("columns") or ()]
        self.is_class = inspect.isclass(obj)
        target = obj
        if self.is_class and self.kind == "aggregate":
            for m in ("step", "merge", "finish"):
                if not callable(getattr(obj, m, None)):
                    raise Fault("42P13", "class %s has no method %s" % (obj.__name__, m))
            target = obj.step
        self.params = parameters(target, 1 if self.is_class and self.kind == "aggregate" else 0)
        self.hints = hints(self.params)
        self.style = getattr(target, "__volley__", None) or getattr(obj, "__volley__", None)
        group = self.kind == "grouped_map"
        if self.style is None:
            styles = [style_of_hint(h, group) for h in self.hints]
            told = [s for s in styles if s and s != "rows"] or [s for s in styles if s]
            self.style = told[0] if told else "pandas" if group else "rows"
        if self.style in ("pandas", "pandas_dict"):
            need("pandas")
        elif self.style in ("numpy", "arrow"):
            need("numpy" if self.style == "numpy" else "pyarrow")
        if self.kind == "table" and self.style != "rows":
            raise Fault("42P13", "table function %s takes values, not %s" % (self.name, self.style))
        self.contract = ""
        if group:
            self.contract = self.declared.get("contract") or ("group_stream" if any(map(streams, self.hints)) else "group")
            if self.contract not in ("group", "group_stream", "rows"):
                raise Fault("42P13", "there is no contract %r" % (self.contract,), hint="There are group, group_stream and rows.")
        self.framed = self.kind == "window" and self.params is not None and len(self.params) > len(desc["args"])
        if self.kind == "window":
            self.names = self.names + ["", ""]

    def check(self):
        """That the function takes as many arguments as SQL gives it."""
        want = 1 if self.kind == "grouped_map" else len(self.desc["args"]) + self.framed
        if self.params is None:
            return
        kinds = inspect.Parameter
        least = sum(p.default is p.empty and p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD) for p in self.params)
        most = sum(p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD) for p in self.params)
        if any(p.kind == kinds.VAR_POSITIONAL for p in self.params):
            most = 1 << 30
        if least <= want <= most:
            return
        if self.kind == "grouped_map":
            raise Fault("42P13", "%s takes %d arguments; the function of a group takes one" % (self.name, least),
                        hint="It gets the group's rows as a DataFrame, keys included. A function of values is decorated with @volley.table.")
        raise Fault("42P13", "%s takes %d argument%s, not %d" % (self.name, least, "" if least == 1 else "s", want))

    def check_types(self, o):
        """That a stream has the types of the manifest."""
        want = [a["type"] for a in self.desc["args"]] + ["int64", "int64"] * (self.kind == "window")
        out = [c["type"] for c in self.desc.get("columns") or ()]
        if self.desc.get("returns"):
            out = [self.desc["returns"]["type"]]
        if o["kind"] == "describe" or self.desc.get("describes"):
            out = o["out"]
        for have, types_, what in ((o["args"], want, "arguments"), (o["out"], out, "results")):
            if len(have) != len(types_):
                raise Fault("39000", "signature: %d %s, want %d" % (len(have), what, len(types_)))
            for i, (h, w) in enumerate(zip(have, types_)):
                if not Type.parse(w).accepts(Type.parse(h)):
                    raise Fault("39000", "signature: column %d of the %s is %s, want %s" % (i + 1, what, h, w))

    def nullable(self, i):
        """Whether the function is called with NULL in argument i."""
        told = self.declared.get("nullable")
        if isinstance(told, bool):
            return told
        if told is not None:
            return self.names[i] in told
        if self.kind in ("grouped_map", "window") or self.kind == "aggregate" and not self.is_class:
            return True
        hint = self.hints[i] if i < len(self.hints) else ""
        if self.style == "numpy":
            return False
        if self.style != "rows":
            return True
        if self.kind == "aggregate" and not hint:
            return False
        return optional(hint)

    def argument(self, c):
        if self.style == "pandas":
            return c.series()
        if self.style == "numpy":
            return c.masked()
        if self.style == "arrow":
            return c.arrow()
        return c.list()

    def call(self, cols, n, stream):
        """Computes a batch of a scalar function."""
        if self.style != "rows":
            r = self.obj(*[self.argument(c) for c in cols])
            p = encode(self.outs[0], r)
            if p.n != n:
                raise Fault("39000", "the function returned %d rows for a batch of %d" % (p.n, n))
            return p
        f, out, lists = self.obj, [], [c.list() for c in cols]
        at, step = 0, 16
        try:
            while at < n:
                end = min(n, at + step)
                begin = time.monotonic()
                if lists:
                    out.extend(map(f, *[v[at:end] for v in lists]))
                else:
                    out.extend(f() for _ in range(at, end))
                at = end
                stream.advance()
                # Often enough that a cancel is seen, seldom enough not to show.
                spent = time.monotonic() - begin
                step = step * 2 if spent < 0.01 else max(1, step // 2) if spent > 0.05 else step
            row = -1
            return from_list(self.outs[0], out)
        except Exception as e:
            row = e.row if isinstance(e, Fault) and e.row >= 0 else len(out) if len(out) < n else -1
            if row >= 0 and not isinstance(e, Fault):
                note_arguments(e, self.names, [v[row] for v in lists])
            place(e, row=row)
            raise

    def call_group(self, group, stream):
        """Calls a grouped map on one group; yields rows as lists of Pieces."""
        if self.contract == "group_stream":
            arg = (self.group_argument(cols, group.nullable) for cols in group.pieces())
        else:
            arg = self.group_argument(group.whole(), group.nullable)
        yield from self.produced(self.obj(arg), stream)

    def group_argument(self, cols, nullable):
        for c, ok in zip(cols, nullable):
            flags = None if ok else c.valid()
            if flags is not None:
                raise Fault("22004", 'null value in column "%s"' % c.name, row=flags.index(0))
        named = {n: self.argument_of_group(c) for n, c in zip(self.names, cols)}
        if self.style == "pandas":
            return need("pandas").DataFrame(named)
        if self.style == "arrow":
            return need("pyarrow").table(named)
        return named

    def call_table(self, args, stream):
        """Calls a table function; yields rows as lists of Pieces."""
        yield from self.produced(self.obj(*args), stream)

    def call_window(self, cols, stream):
        """Calls a window function on a partition."""
        args = [self.argument(c) for c in cols[:-2]]
        if self.framed:
            frames = list(zip(cols[-2].list(), cols[-1].list()))
            args.append(frames if self.style == "rows" else need("numpy").array(frames, dtype="int64").reshape(-1, 2))
        p = encode(self.outs[0], self.obj(*args))
        if p.n != cols[0].n:
            raise Fault("39000", "the function returned %d rows for a partition of %d" % (p.n, cols[0].n))
        return p

    def describe(self, args):
        """The output columns for constant arguments, as pairs of name and type."""
        columns = self.declared.get("columns")
        try:
            return named_types(columns(*args))
        except Fault as e:
            if e.code == "42P13":
                e.code = "39000"
            raise

    def produced(self, r, stream):
        """What a function returned or yields, as lists of Pieces."""
        if r is None:
            return
        if not inspect.isgenerator(r):
            yield self.rows(r)
            return
        waiting, since = [], time.monotonic()
        single = len(self.outs) == 1 and self.kind == "table"
        for row in r:
            stream.advance()
            if single and not isinstance(row, (tuple, list, dict)) and not is_table(row):
                row = (row,)
            if isinstance(row, tuple):
                waiting.append(row)
                if len(waiting) < 4096 and time.monotonic() - since < 0.1:
                    continue
                row = None
            if waiting:
                yield self.rows(waiting)
            waiting, since = [], time.monotonic()
            if row is not None:
                yield self.rows([row] if isinstance(row, dict) and self.kind == "table" else row)
        if waiting:
            yield self.rows(waiting)

    def argument_of_group(self, c):
        return c.series() if self.style == "pandas_dict" else self.argument(c)

    def rows(self, r):
        """Rows as a function returns them: DataFrame, Table, dict of columns, or
        a list of tuples or dicts."""
        pd, pa = module("pandas"), module("pyarrow")
        if pd is not None and isinstance(r, pd.DataFrame):
            cols = self.pick(list(r.columns), lambda i: r.iloc[:, i])
        elif pa is not None and isinstance(r, (pa.Table, pa.RecordBatch)):
            cols = self.pick(r.schema.names, r.column)
        elif isinstance(r, dict):
            vals = list(r.values())
            n = next((len(v) for v in vals if hasattr(v, "__len__") and not isinstance(v, (str, bytes))), 1)
            vals = [v if hasattr(v, "__len__") and not isinstance(v, (str, bytes)) else [v] * n for v in vals]
            cols = self.pick(list(r), lambda i: vals[i])
        elif isinstance(r, list):
            if r and isinstance(r[0], dict):
                for i, d in enumerate(r):
                    if d.keys() != set(self.columns):
                        self.pick(list(d), lambda i: None)
                cols = [[d[c] for d in r] for c in self.columns]
            else:
                for t in r:
                    if not isinstance(t, (tuple, list)) or len(t) != len(self.outs):
                        raise Fault("39000", "the function returned %s for a row of %d columns" % (shorten(t), len(self.outs)))
                cols = list(zip(*r)) or [()] * len(self.outs)
        else:
            raise Fault("39000", "the function returned %s for rows" % article(r),
                        hint="Return a DataFrame, an arrow Table, a dict of columns or a list of tuples.")
        pieces = []
        for name, t, c in zip(self.columns, self.outs, cols):
            try:
                pieces.append(encode(t, c))
            except Fault as e:
                e.message = "column %s: %s" % (name, e.message)
                e.row = -1  # of what it returned, which is no row of the query's
                raise
        for name, p in zip(self.columns, pieces):
            if p.n != pieces[0].n:
                raise Fault("39000", "the function returned columns of %d and %d rows" % (pieces[0].n, p.n))
        return pieces

    def pick(self, names, get):
        """The declared columns: by name, else, where the names are numbers, by
        place."""
        if set(self.columns) <= set(names):
            return [get(names.index(c)) for c in self.columns]
        if len(names) == len(self.columns) and all(isinstance(n, int) for n in names):
            return [get(i) for i in range(len(names))]
        raise Fault("39000", "the function returned the columns %s, not %s" % (", ".join(map(str, names)), ", ".join(self.columns)))

    def states(self):
        return ClassStates(self) if self.is_class else CollectedStates(self)


def is_table(v):
    return type(v).__module__.partition(".")[0] in ("pandas", "pyarrow", "numpy") and hasattr(v, "shape")


def note_arguments(e, names, vals):
    try:
        e.__args__ = ", ".join("%s = %s" % (n, shorten(v)) for n, v in zip(names, vals))
    except AttributeError:
        pass


def by_group(lists, groups):
    """The rows of each group, as lists per column."""
    out = {}
    for g, *row in zip(groups, *lists):
        cols = out.get(g)
        if cols is None:
            cols = out[g] = [[] for _ in row]
        for c, v in zip(cols, row):
            c.append(v)
    return out


def column_of(name, type_, vals):
    return column_of_piece(name, type_, from_list(type_, vals))


def column_of_piece(name, t, p):
    kinds = [("", t.elem)] if t.name == "[]" else t.fields if t.name == "struct" else ()
    kids = [column_of_piece(n, kt, kp) for (n, kt), kp in zip(kinds, p.kids)]
    return Column(name, t, 0, p.n, None, p.flags, p.data, p.offs, kids)


class States:
    """The states of an aggregate in one stream, by group number."""

    def __init__(self, f):
        self.f, self.all = f, []
        self.dead = set()  # groups that have failed, where that ends no stream

    def grow(self, n):
        while len(self.all) < n:
            self.all.append(self.new())

    def merge(self, cols, groups, n, stream):
        for i, (g, b) in enumerate(zip(groups, cols[0].list())):
            if b is None or g in self.dead:
                continue
            if b == STATE_DEAD:
                self.dead.add(g)
                continue
            if b[:1] != bytes([STATE_PICKLE]):
                raise Fault("39000", "state of the aggregate cannot be decoded: %d bytes of another format" % len(b))
            self.all[g] = self.fold(self.all[g], pickle.loads(memoryview(b)[1:]))
            if i & 255 == 0:
                stream.advance()

    def state(self, a, b, stream):
        head = bytes([STATE_PICKLE])
        try:
            return from_list(Type("bytes"), [STATE_DEAD if g in self.dead else head + pickle.dumps(self.all[g], 5) for g in range(a, b)])
        except (pickle.PicklingError, TypeError, AttributeError) as e:
            raise Fault("39000", "state of the aggregate cannot be pickled: %s" % e) from None

    def final(self, a, b, stream):
        out = []
        try:
            while len(out) < b - a:
                g = a + len(out)
                try:
                    r = None if g in self.dead else self.finish(self.all[g])
                    if stream.goes_on and r is not None:
                        from_list(self.f.outs[0], [r])
                except Exception as e:
                    if not stream.goes_on:
                        raise
                    if isinstance(e, Fault):
                        e.row = -1
                    self.fail(e, g, -1, stream)
                    r = None
                out.append(r)
                if len(out) & 255 == 0:
                    stream.advance()
            return from_list(self.f.outs[0], out)
        except Exception as e:
            row = e.row if isinstance(e, Fault) and e.row >= 0 else len(out)
            if isinstance(e, Fault):
                e.row = -1
            if row < b - a:
                place(e, group=a + row)
            raise

    def fail(self, e, group, row, stream):
        self.dead.add(group)
        place(e, row=row)
        stream.send_failure(dict(message(e), group=group))

    def size(self):
        """An estimate by the first state."""
        if not self.all:
            return 0
        s = self.all[0]
        return len(self.all) * (sys.getsizeof(s) + sum(map(sys.getsizeof, getattr(s, "__dict__", {}).values())))


class ClassStates(States):
    """States are objects of the author's class."""

    def new(self):
        return self.f.obj()

    def fold(self, into, s):
        r = into.merge(s)
        return into if r is None else r

    def finish(self, s):
        return s.finish()

    def step(self, cols, groups, n, stream):
        f = self.f
        if f.style == "rows":
            lists = [c.list() for c in cols]
            row, states, dead = -1, self.all, self.dead
            rows = enumerate(zip(groups, zip(*lists) if lists else itertools.repeat(())))
            while True:
                try:
                    for row, (g, args) in rows:
                        if not dead or g not in dead:
                            states[g].step(*args)
                        if row & 255 == 0:
                            stream.advance()
                    return
                except Exception as e:
                    note_arguments(e, f.names, [v[row] for v in lists])
                    if stream.goes_on:
                        self.fail(e, g, row, stream)
                        continue
                    place(e, row=row)
                    raise
        if n and min(groups) == max(groups):
            self.all[groups[0]].step(*[f.argument(c) for c in cols])
            return
        for g, lists in by_group([c.list() for c in cols], groups).items():
            self.all[g].step(*[f.argument(column_of(*x)) for x in zip(f.names, f.args, lists)])
            stream.advance()


class CollectedStates(States):
    """A function of all rows of a group: the state is the rows."""

    def new(self):
        return [[] for _ in self.f.args]

    def fold(self, into, s):
        for a, b in zip(into, s):
            a.extend(b)
        return into

    def finish(self, s):
        f = self.f
        return f.obj(*[f.argument(column_of(*x)) for x in zip(f.names, f.args, s)])

    def step(self, cols, groups, n, stream):
        lists = [c.list() for c in cols]
        if n and min(groups) == max(groups):
            self.fold(self.all[groups[0]], lists)
            return
        for g, rows in by_group(lists, groups).items():
            self.fold(self.all[g], rows)

    def size(self):
        return sum(32 * len(c) for s in self.all for c in s)


def describe(inp, out):
    """Answers what a function is, for CREATE FUNCTION and volley udf build."""
    q = json.load(inp)
    real, sys.stdout = out, sys.stderr
    try:
        if q.get("list"):
            answer = {"functions": listing(Plugin({"functions": []}, q["code"]))}
        else:
            answer = {"function": described(q)}
    except BaseException as e:
        answer = {"error": message(e)}
    real.write(json.dumps(answer))
    real.flush()


def described(q):
    f = {"name": q["symbol"], "kind": q["kind"], "args": q.get("args") or [], "volatility": "volatile"}
    p = Plugin({"functions": [f]}, q["code"])
    obj = p.find(f)
    d = declaration(obj)
    # SQL cannot tell a table function from a grouped map.
    if d.get("kind") and d["kind"] != f["kind"] and {d["kind"], f["kind"]} in ({"grouped_map", "table"}, {"scalar", "window"}):
        f["kind"] = d["kind"]
    if q.get("columns"):
        f["columns"] = q["columns"]
    elif f["kind"] in ("grouped_map", "table"):
        columns_of(f, d)
    if q.get("returns") and f["kind"] not in ("grouped_map", "table"):
        f["returns"] = {"type": q["returns"]}
    if f["kind"] in ("scalar", "aggregate", "window") and "returns" not in f:
        raise Fault("42P13", "the result type of %s must be specified" % f["name"])
    outs = [c["type"] for c in f.get("columns") or ()] or [f["returns"]["type"]] if not f.get("describes") else []
    fn = Function(obj, f, {"args": [a["type"] for a in f["args"]], "out": outs})
    fn.check()
    complete(f, fn, d)
    doc = inspect.getdoc(fn.obj) if p.source is None or p.symbol != "_volley_body" else None
    if doc:
        f["doc"] = doc.split("\n\n")[0]
    return f


def columns_of(f, d):
    """Adds the output columns of a declaration to a manifest's function."""
    columns = d.get("columns")
    if columns is None:
        raise Fault("42P13", "the output columns of %s must be specified" % f["name"],
                    hint="Write RETURNS TABLE (...), or columns= in its decorator.")
    if callable(columns):
        f["describes"] = True
    else:
        f["columns"] = [{"name": n, "type": t} for n, t in named_types(columns)]


def complete(f, fn, d):
    """Adds what the code knows to a manifest's function."""
    for i, a in enumerate(f["args"]):
        if fn.nullable(i):
            a["nullable"] = True
    if fn.contract:
        f["contract"] = fn.contract
        if fn.contract == "rows":
            f["batch_rows"] = int(d.get("batch_rows") or 1024)
        if d.get("max_group_bytes"):
            f["max_group_bytes"] = int(d["max_group_bytes"])


def listing(p):
    """The public functions of an artifact. Those without types are SQL's to declare."""
    p.check_requirements()
    out = []
    for mod in p.top:
        m = p.load(mod, lambda: importlib.import_module(mod))
        for name, v in vars(m).items():
            if name.startswith("_") or getattr(v, "__module__", None) != mod or not (inspect.isfunction(v) or inspect.isclass(v)):
                continue
            d = declaration(v)
            agg = inspect.isclass(v)
            if agg and not all(callable(getattr(v, a, None)) for a in ("step", "merge", "finish")):
                continue
            params = parameters(v.step, 1) if agg else parameters(v)
            group = any(style_of_hint(h, True) or streams(h) for h in hints(params)[:1]) and not agg
            f = {
                "name": name if mod == MAIN or len(p.top) == 1 else mod + "." + name,
                "kind": d.get("kind") or ("aggregate" if agg else "grouped_map" if group else "scalar"),
                "args": [{"name": a.name, "type": "any"} for a in params or ()],
                "volatility": d.get("volatility", "volatile"), "doc": (inspect.getdoc(v) or "").split("\n\n")[0],
            }
            if d.get("args") is not None:
                typed(f, v, d)
            out.append(f)
    return out


def typed(f, obj, d):
    """Adds the types of a declaration to a manifest's function."""
    f["args"] = [dict([("name", n)] * bool(n) + [("type", t)]) for n, t in named_types(d["args"])]
    if f["kind"] in ("grouped_map", "table"):
        columns_of(f, d)
    else:
        if d.get("returns") is None:
            raise Fault("42P13", "the result type of %s must be specified" % f["name"], hint="Write returns= in its decorator.")
        f["returns"] = {"type": str(Type.declared(d["returns"])), "nullable": True}
    o = {"args": [a["type"] for a in f["args"]], "out": []}
    fn = Function(obj, f, o)
    fn.check()
    complete(f, fn, d)
