"""Runs functions in Python for a Volley host: the plugin's side of
docs/udf/protocol.md, on file descriptor 3, with columns in the memory of descriptor 4.

The thread that starts reads frames; each stream has a thread of its own for user
code. Everything here is of the standard library."""

import array
import decimal
import json
import mmap
import os
import queue
import socket
import struct
import sys
import threading
import time

from . import author
from .columns import BYTES_KIND, FIXED, LIST_KIND, RECORD, STRUCT_KIND, Column, Fault, Piece, Type, pack_bits

MAGIC = "volley-udf"
MAX_SLOT = 1 << 30
FLUSH_BYTES, CHUNK_BYTES = 1 << 20, 8 << 20

WELCOME, OPEN, SLOT, BATCH, CREDIT, CANCEL, END, WHERE = 1, 2, 3, 4, 5, 6, 7, 8
HELLO, OPENED, RESULT, DONE, ERROR, CLOSED, GROW, LOG, PROGRESS, FINISHED, CALLS = 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74
ROWS, MERGE, STATE, FINAL = 0, 1, 2, 3
LAST = GOES_ON = 1
INFO = 8
STATE_TYPE = Type("bytes")

HEADER = struct.Struct("<IBBHIIQ")
BATCH_HEAD = struct.Struct("<IIIIqq")
COLUMN = struct.Struct("<BBHIIII")
SLOT_MSG = struct.Struct("<QQQ")
DONE_MSG = struct.Struct("<qqq")


class Cancelled(BaseException):
    pass


class Server:
    def __init__(self, sock, shared, manifest, code):
        self.sock, self.shared, self.manifest = sock, shared, manifest
        self.lock = threading.Lock()
        self.maps = {}
        self.streams = {}
        self.plugin = author.Plugin(manifest, code)

    def send(self, kind, stream=0, payload=b"", flags=0, slot=0, seq=0, body=None):
        n = 0 if self.shared or body is None else len(body)
        head = HEADER.pack(len(payload), kind, flags, slot, stream, n, seq)
        with self.lock:
            self.sock.sendall(head + payload)
            if n:
                self.sock.sendall(body)

    def send_json(self, kind, v, **where):
        self.send(kind, payload=json.dumps(v).encode(), **where)

    def serve(self):
        self.send_json(HELLO, {"magic": MAGIC, "abi": self.manifest["abi"], "manifest": self.manifest, "where": True})
        threading.Thread(target=self.report, daemon=True).start()
        f = self.sock.makefile("rb", 65536)
        while True:
            head = f.read(HEADER.size)
            if len(head) < HEADER.size:
                return
            n, kind, flags, slot, stream, body, seq = HEADER.unpack(head)
            payload = f.read(n) if n else b""
            if len(payload) < n:
                return
            if kind == WELCOME:
                if json.loads(payload)["abi"] != self.manifest["abi"]:
                    raise SystemExit("the host speaks another protocol version")
                continue
            if kind == OPEN:
                s = self.streams[stream] = Stream(self, stream, json.loads(payload))
                threading.Thread(target=s.run, daemon=True).start()
                continue
            s = self.streams.get(stream)
            if s is None:
                while body:
                    body -= len(f.read(min(body, 1 << 20)))
            elif kind == SLOT:
                s.define(slot, *SLOT_MSG.unpack(payload))
            elif kind == BATCH:
                if body and f.readinto(s.slots[0][slot][:body]) < body:
                    return
                s.work.put((kind, flags, slot, seq, payload))
            elif kind == END:
                s.work.put((kind, 0, 0, 0, b""))
            elif kind == CREDIT:
                s.free.put(slot)
            elif kind == WHERE:
                self.send(CALLS, stream, payload=author.calls(s.thread).encode(errors="replace"))
            elif kind == CANCEL:
                del self.streams[stream]
                s.stop = True
                s.work.put(None)
                s.free.put(None)
                s.grown.put(None)
            else:
                raise SystemExit("unknown frame %d" % kind)

    def mapped(self, off, size):
        """A region of the shared memory. Mappings stay: the host gives the same
        regions out again."""
        m = self.maps.get(off)
        if m is None or len(m) != size:
            m = self.maps[off] = memoryview(mmap.mmap(4, size, offset=off))
        return m

    def report(self):
        """Tells the host every 250 ms whose user code advances: slow is not stuck."""
        while True:
            time.sleep(0.25)
            for s in list(self.streams.values()):
                if s.progress != s.reported:
                    s.reported = s.progress
                    self.send(PROGRESS, s.id)


class Stream:
    """One use of a function by the host; run is its thread."""

    def __init__(self, server, id, o):
        self.server, self.id, self.open = server, id, o
        self.slots = ({}, {})  # in, out
        self.work, self.free, self.grown = queue.SimpleQueue(), queue.SimpleQueue(), queue.SimpleQueue()
        self.stop = False
        self.thread = None
        self.progress = self.reported = 0
        self.seq = self.slot = 0
        self.waited = 0  # nanoseconds, for the host
        self.goes_on = o["kind"] == "aggregate" and o.get("on_error") == "null"
        self.outs = [Type.parse(t) for t in o["out"]]
        self.args = [Type.parse(t) for t in o["args"]]

    def define(self, slot, out, off, size):
        first = slot not in self.slots[out]
        self.slots[out][slot] = self.server.mapped(off, size) if self.server.shared else memoryview(bytearray(size))
        if out:
            (self.free if first else self.grown).put(slot)

    def send(self, kind, **rest):
        self.server.send(kind, self.id, **rest)

    def run(self):
        current.stream, self.thread = self, threading.get_ident()
        try:
            self.user(self.main)
        except Cancelled:
            pass
        while not self.stop:
            self.work.get()
        self.slots = ({}, {})
        self.func = None
        self.send(CLOSED)

    def main(self):
        self.func = self.server.plugin.function(self.open)
        self.send(OPENED)
        {"scalar": self.scalar, "aggregate": self.aggregate}.get(self.open["kind"], self.grouped)()

    def user(self, f):
        """Runs user code; what it raises is sent as the stream's error."""
        try:
            f()
            return True
        except Cancelled:
            raise
        except BaseException as e:
            self.server.send_json(ERROR, author.message(e), stream=self.id, seq=self.seq)
            return False
        finally:
            flush_output()

    def next(self):
        """The next Batch as (flags, message, columns), None at End."""
        f = self.wait(self.work)
        if f is None:
            raise Cancelled()
        self.progress += 1
        kind, flags, self.slot, self.seq, payload = f
        if kind == END:
            return None
        msg = BATCH_HEAD.unpack_from(payload)
        rows, groups, groups_at = msg[:3]
        mem = self.slots[0].get(self.slot)
        cols = []
        if flags in (ROWS, MERGE):
            places = COLUMN.iter_unpack(payload[BATCH_HEAD.size:])
            names = ("",) if flags == MERGE else self.func.names
            for name, t in zip(names, [STATE_TYPE] if flags == MERGE else self.args):
                cols.append(Column.load(name, t, mem, rows, places))
        g = mem[groups_at:groups_at + 4 * groups].cast("i") if groups else None
        return flags, msg, g, cols

    def wait(self, q):
        begin = time.perf_counter_ns()
        v = q.get()
        self.waited += time.perf_counter_ns() - begin
        return v

    def send_failure(self, message):
        """Tells of a group of an aggregate that has failed while the stream goes on."""
        self.server.send_json(ERROR, message, stream=self.id, seq=self.seq, flags=GOES_ON)

    def advance(self):
        """Called by loops over rows, every few milliseconds."""
        if self.stop:
            raise Cancelled()
        self.progress += 1

    def send_pieces(self, typs, pieces, groups, base, done, flags):
        """Sends rows in as many Results as it takes."""
        n = pieces[0].n
        size = sum(p.size() for p in pieces)
        step = n if size <= CHUNK_BYTES else max(1, n * CHUNK_BYTES // size)
        a = 0
        while True:
            b = min(n, a + step)
            part = [p.slice(a, b) for p in pieces]
            self.send_result(typs, part, None if groups is None else groups[a:b], base, done, flags if b == n else 0)
            a = b
            if a == n:
                return

    def send_result(self, typs, pieces, groups, base, done, flags):
        n = pieces[0].n
        at = 0
        writes, cols = [], []

        def put(data):
            nonlocal at
            here = at
            size = len(data)
            if size:
                writes.append((here, data))
            at = (at + size + 63) & ~63
            return here

        n_groups = 0
        if groups is not None:
            n_groups = len(groups)
            put(memoryview(groups).cast("B") if n_groups else b"")

        def column(t, p):
            has, valid, raw, raw_len = 0, 0, 0, 0
            if p.flags is not None:
                has, valid = 1, put(pack_bits(p.flags))
            kids = ()
            if t.name == "struct":
                kind, data, kids = STRUCT_KIND, 0, zip((f for _, f in t.fields), p.kids)
            elif p.offs is None:
                kind, data = (FIXED.get(t.name) or RECORD[t.name])[0], put(p.data)
            else:
                data = put(memoryview(p.offs).cast("B"))
                if t.name == "[]":
                    kind, raw_len, kids = LIST_KIND, p.kids[0].n, [(t.elem, p.kids[0])]
                else:
                    kind, raw_len = BYTES_KIND, len(p.data)
                    raw = put(p.data)
            cols.append(COLUMN.pack(kind, has, len(p.kids), valid, data, raw, raw_len))
            for kt, kp in kids:
                column(kt, kp)

        for t, p in zip(typs, pieces):
            column(t, p)
        if at > MAX_SLOT:
            raise Fault("54000", "a result of %d bytes is larger than the limit of %d" % (at, MAX_SLOT))
        slot = self.wait(self.free)
        if slot is None or self.stop:
            raise Cancelled()
        if len(self.slots[1][slot]) < at:
            self.send(GROW, payload=struct.pack("<Q", at), slot=slot)
            if self.wait(self.grown) is None:
                raise Cancelled()
        mem = self.slots[1][slot]
        for here, data in writes:
            mem[here:here + len(data)] = data
        self.progress += 1
        msg = BATCH_HEAD.pack(n, n_groups, 0, len(cols), base, done) + b"".join(cols)
        self.send(RESULT, payload=msg, flags=flags, slot=slot, seq=self.seq, body=mem[:at])

    def scalar(self):
        while True:
            f = self.next()
            if f is None:
                return self.send(FINISHED)
            _, msg, _, cols = f
            begin = time.perf_counter_ns()
            piece = self.func.call(cols, msg[0], self)
            nanos = time.perf_counter_ns() - begin
            self.send_pieces(self.outs, [piece], None, 0, nanos, LAST)
            flush_output()

    def aggregate(self):
        agg = self.func.states()
        while True:
            f = self.next()
            if f is None:
                return self.send(FINISHED)
            op, msg, groups, cols = f
            n, base, done = msg[0], msg[4], msg[5]
            begin = time.perf_counter_ns()
            if op in (ROWS, MERGE):
                agg.grow(base)
                groups = [0] * n if groups is None else groups.tolist()
                (agg.merge if op == MERGE else agg.step)(cols, groups, n, self)
                nanos = time.perf_counter_ns() - begin
                self.send(DONE, payload=DONE_MSG.pack(0, agg.size(), nanos), slot=self.slot, seq=self.seq)
                continue
            agg.grow(done)
            typ = [STATE_TYPE] if op == STATE else self.outs
            while base < done:
                end = min(base + 16384, done)
                piece = agg.state(base, end, self) if op == STATE else agg.final(base, end, self)
                nanos = time.perf_counter_ns() - begin
                self.send_pieces(typ, [piece], None, 0, nanos, LAST if end == done else 0)
                base = end

    def grouped(self):
        out = Output(self)
        group = Groups(self, out)
        call = getattr(self, "one_" + self.open["kind"])
        while group.more():
            self.advance()
            try:
                call(group, out)
            except Cancelled:
                raise
            except BaseException as e:
                self.blame(e, group)
                raise
            group.finish()
            flush_output()
        out.flush()
        self.send(FINISHED)

    def blame(self, e, group):
        """Notes group and row of an error, and the row's values."""
        row = e.row if isinstance(e, Fault) else -1
        if self.open["kind"] == "table":
            row = 0
        if row >= 0 and group.cols and row < group.cols[0].n:
            named = [c for c in group.cols if c.name]  # frames of a window have none
            author.note_arguments(e, [c.name for c in named], [c.slice(row, row + 1).list()[0] for c in named])
        if row >= 0:
            if isinstance(e, Fault):
                e.row = -1
            row += group.before
        author.place(e, row=row, group=group.number)

    def one_grouped_map(self, group, out):
        for pieces in self.func.call_group(group, self):
            out.add(pieces)
            self.advance()

    def one_table(self, group, out):
        lists, at = group.values()
        if lists is None:  # the host leaves rows with NULL out
            return
        for pieces in self.func.call_table([v[at] for v in lists], self):
            out.add(pieces)
            self.advance()

    def one_window(self, group, out):
        out.add([self.func.call_window(group.whole(), self)])

    def one_describe(self, group, out):
        lists, at = group.values()
        pairs = self.func.describe([v[at] for v in lists])
        out.add([author.from_list(self.outs[k], [p[k] for p in pairs]) for k in (0, 1)])


class Groups:
    """The groups of a stream, one after the other: their rows come in pieces, as they
    lie in frames."""

    def __init__(self, stream, out):
        self.stream, self.out = stream, out
        self.nullable = [bool(a.get("nullable")) for a in stream.func.desc["args"]]
        self.number = 0      # of the group
        self.busy = self.over = False
        self.frame, self.rows, self.ends, self.at, self.k = (), 0, (), 0, 0
        self.lists = None    # of the frame
        self.cols = None     # the current piece
        self.before = 0      # rows of the group before it
        self.last = True     # the current piece ends the group

    def more(self):
        """Whether there is another group."""
        while not self.busy or self.at >= self.rows and self.k >= len(self.ends):
            if not self.receive():
                return False
        self.cols, self.before, self.last, self.begun = None, 0, False, False
        return True

    def receive(self):
        """Moves to the next frame; False after the last."""
        if self.over:
            return False
        if self.busy:
            self.out.flush()
            self.busy = False
            nanos = time.perf_counter_ns() - self.began - self.stream.waited
            self.stream.send(DONE, payload=DONE_MSG.pack(self.number, 0, nanos), slot=self.stream.slot, seq=self.stream.seq)
        f = self.stream.next()
        if f is None:
            self.over = True
            return False
        _, msg, ends, self.frame = f
        self.busy, self.rows, self.at, self.k, self.lists = True, msg[0], 0, 0, None
        self.began, self.stream.waited = time.perf_counter_ns(), 0
        self.ends = () if ends is None else ends.tolist()
        return True

    def piece(self):
        """The group's next rows, where they lie; None at its end."""
        if self.last:
            return None
        if self.begun and not self.receive():
            self.last = True
            return None
        self.begun = True
        if self.cols is not None:
            self.before += self.cols[0].n if self.cols else 0
        to = self.rows
        if self.k < len(self.ends):
            to, self.last = self.ends[self.k], True
            self.k += 1
        self.cols = [c.slice(self.at, to) for c in self.frame]
        self.at = to
        return self.cols

    def pieces(self):
        """The group's rows in pieces that outlive their frames."""
        while True:
            p = self.piece()
            if p is None:
                return
            if not p or p[0].n:
                self.cols = [c.keep() for c in p]
                yield self.cols

    def whole(self):
        """All of the group's rows."""
        p = self.piece()
        if not self.last:
            parts = [[c.keep() for c in p]]
            while True:
                p = self.piece()
                if p is None:
                    break
                parts.append([c.keep() for c in p])
            self.cols, self.before = [Column.join(list(p)) for p in zip(*parts)], 0
        return self.cols

    def values(self):
        """The frame's rows as lists of values and the number of this group's one row;
        None when it has none."""
        at = self.at
        p = self.piece()
        if self.at == at:
            return None, 0
        if self.lists is None:
            self.lists = [c.list() for c in self.frame]
        return self.lists, at

    def finish(self):
        while self.piece() is not None:
            pass
        self.number += 1
        self.out.group = self.number


class Output:
    """Rows of a grouped map that wait to be sent."""

    def __init__(self, stream):
        self.stream, self.group, self.base = stream, 0, 0
        self.parts, self.groups, self.bytes = [], [], 0
        self.since = time.monotonic()

    def add(self, pieces):
        n = pieces[0].n
        if n == 0:
            return
        if not self.parts:
            self.base = self.group
        self.parts.append(pieces)
        self.groups.append((self.group - self.base, n))
        self.bytes += sum(p.size() for p in pieces) + 4 * n
        if self.bytes >= FLUSH_BYTES or time.monotonic() - self.since > 0.25:
            self.flush()

    def flush(self):
        self.since = time.monotonic()
        if not self.parts:
            return
        groups = array.array("i")
        for g, n in self.groups:
            groups.extend(array.array("i", [g]) * n)
        pieces = [Piece.join(list(p)) for p in zip(*self.parts)]
        self.parts, self.groups, self.bytes = [], [], 0
        self.stream.send_pieces(self.stream.outs, pieces, groups, self.base, self.group, 0)


current = threading.local()


class Printed:
    """stdout of user code: lines become Log frames, which name the function."""

    encoding, errors = "utf-8", "replace"

    def __init__(self, plain):
        self.plain = plain

    def write(self, s):
        st = getattr(current, "stream", None)
        if st is None:
            return self.plain.write(s)
        text = getattr(current, "text", "") + s
        *lines, current.text = text.split("\n")
        if len(current.text) > 1 << 14:
            lines, current.text = lines + [current.text], ""
        for line in lines:
            st.send(LOG, payload=line.encode("utf-8", "replace")[:1 << 14], flags=INFO)
        return len(s)

    def flush(self):
        self.plain.flush()

    def isatty(self):
        return False

    def __getattr__(self, name):
        return getattr(self.plain, name)


def flush_output():
    if getattr(current, "text", ""):
        sys.stdout.write("\n")


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--describe":
        return author.describe(sys.stdin, sys.stdout)
    import faulthandler
    faulthandler.enable()
    os.set_inheritable(3, False)
    shared = bool(os.environ.get("VOLLEY_UDF_SHM"))
    if shared:
        os.set_inheritable(4, False)
    with open(os.environ["VOLLEY_UDF_MANIFEST"], encoding="utf-8") as f:
        manifest = json.load(f)
    sys.stdin = open(os.devnull)
    sys.stdout.reconfigure(line_buffering=True)
    sys.stdout = Printed(sys.stdout)
    # numeric has 38 digits, which arithmetic should not round away.
    decimal.DefaultContext.prec = decimal.getcontext().prec = 38
    # A stream must not wait 5 ms for another's turn to end.
    sys.setswitchinterval(0.0005)
    try:
        Server(socket.socket(fileno=3), shared, manifest, os.environ["VOLLEY_UDF_CODE"]).serve()
    except (BrokenPipeError, ConnectionResetError):
        pass
    sys.stderr.flush()
    os._exit(0)
