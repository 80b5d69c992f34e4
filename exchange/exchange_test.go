package exchange

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	int8T = types.T(types.Int8)
	textT = types.T(types.Text)
)

// numbers makes a batch (i int8, 's<i>' text) of rows from…from+n-1.
func numbers(from, n int) *vector.Batch {
	xs, ss := make([]int64, n), make([]string, n)
	for i := range n {
		xs[i], ss[i] = int64(from+i), fmt.Sprint("s", from+i)
	}
	return vector.NewBatch([]*vector.Vector{vector.FromSlice(int8T, xs), vector.FromStrings(textT, ss)}, n)
}

func drain(t testing.TB, s Source) []int64 {
	t.Helper()
	var out []int64
	for {
		b, err := s.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if b == nil {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return out
		}
		for i := range b.Rows() {
			x := vector.At[int64](b.Col(0), i)
			if got := b.Col(1).Flatten().StringAt(i); got != fmt.Sprint("s", x) {
				t.Fatalf("row %d has %q", x, got)
			}
			out = append(out, x)
		}
	}
}

func newStore(t testing.TB, memory int64) *Store {
	s, err := NewStore(StoreConfig{Dir: t.TempDir(), Memory: memory, Incarnation: "i1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func key(task int) TaskKey { return TaskKey{Query: "q", Stage: 1, Task: uint32(task)} }

// fill writes rows 0…rows-1 in batches of random size through a Writer.
func fill(t testing.TB, s *Store, k TaskKey, p *proto.Partitioning, rows int, seed uint64) []*proto.PartitionStat {
	out, err := s.Create(k, Count(p))
	if err != nil {
		t.Fatal(err)
	}
	w := NewWriter(out, p, int(k.Task), 256)
	r := rand.New(rand.NewPCG(seed, 1))
	for at := 0; at < rows; {
		n := min(rows-at, 1+r.IntN(3000))
		b := numbers(at, n)
		if r.IntN(2) == 0 { // through a selection
			sel := make([]int32, n)
			for i := range sel {
				sel[i] = int32(i)
			}
			b = b.Select(sel)
		}
		if err := w.Write(context.Background(), b, []*vector.Vector{b.Col(0)}); err != nil {
			t.Fatal(err)
		}
		at += n
	}
	st, err := w.Seal()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// Every row arrives once, in the producer's order within its partition, at the
// partition that its hash (or position) says, whether spilled or not.
func TestPartitions(t *testing.T) {
	const rows = 100_000
	for _, memory := range []int64{1 << 30, 1 << 16} {
		for _, p := range []*proto.Partitioning{
			{Kind: proto.Partitioning_SINGLE}, {Kind: proto.Partitioning_BROADCAST}, {Kind: proto.Partitioning_RESULT},
			{Kind: proto.Partitioning_HASH, Count: 1}, {Kind: proto.Partitioning_HASH, Count: 7}, {Kind: proto.Partitioning_HASH, Count: 64},
			{Kind: proto.Partitioning_CHUNK, Count: 3},
		} {
			s := newStore(t, memory)
			stats := fill(t, s, key(1), p, rows, 42)
			seen := make([]bool, rows)
			for part := range Count(p) {
				src, err := s.Open(key(1), uint32(part))
				if err != nil {
					t.Fatal(err)
				}
				got := drain(t, src)
				if int64(len(got)) != stats[part].Rows {
					t.Fatalf("%v: %d rows, stats say %d", p, len(got), stats[part].Rows)
				}
				if !slices.IsSorted(got) {
					t.Fatalf("%v: order changed", p)
				}
				for _, x := range got {
					if seen[x] {
						t.Fatalf("%v: row %d twice", p, x)
					}
					seen[x] = true
					want := 0
					switch p.Kind {
					case proto.Partitioning_HASH:
						var h [1]uint64
						HashRows([]*vector.Vector{vector.FromSlice(int8T, []int64{x})}, 1, h[:])
						want = HashPartition(h[0], Count(p))
					case proto.Partitioning_CHUNK:
						want = (1 + int(x)/chunkRows) % Count(p)
					}
					if part != want {
						t.Fatalf("%v: row %d in partition %d, want %d", p, x, part, want)
					}
				}
			}
			if slices.Contains(seen, false) {
				t.Fatalf("%v: rows are missing", p)
			}
			mem, disk, _ := s.Usage()
			if mem > memory {
				t.Errorf("%v: %d bytes resident of %d", p, mem, memory)
			}
			if spilled := disk > 0; spilled != (memory < 1<<20) {
				t.Errorf("%v: %d bytes on disk with a budget of %d", p, disk, memory)
			}
		}
	}
}

// Hash partitions are balanced enough to be useful.
func TestHashBalance(t *testing.T) {
	n := 64_000
	xs := make([]int64, n)
	for i := range xs {
		xs[i] = int64(i) * 1000
	}
	h := make([]uint64, n)
	HashRows([]*vector.Vector{vector.FromSlice(int8T, xs)}, n, h)
	var count [64]int
	for _, x := range h {
		count[HashPartition(x, 64)]++
	}
	for p, c := range count {
		if c < 800 || c > 1200 {
			t.Errorf("partition %d has %d of 1000", p, c)
		}
	}
}

// What SQL calls equal hashes equal, in every form, and the hash never changes.
func TestHashRows(t *testing.T) {
	one := func(v *vector.Vector) uint64 {
		var h [1]uint64
		HashRows([]*vector.Vector{v}, 1, h[:])
		return h[0]
	}
	dec := func(d types.Decimal) uint64 {
		return one(vector.FromSlice(types.T(types.Numeric), []types.Decimal{d}))
	}
	f8 := func(x float64) uint64 { return one(vector.FromSlice(types.T(types.Float8), []float64{x})) }
	iv := func(m, d int32, us int64) uint64 {
		return one(vector.FromSlice(types.T(types.Interval), []types.IntervalValue{{Months: m, Days: d, Micros: us}}))
	}
	str := func(t types.ID, s string) uint64 { return one(vector.FromStrings(types.T(t), []string{s})) }
	pairs := []struct {
		name string
		a, b uint64
		same bool
	}{
		{"int2 = int8", one(vector.FromSlice(types.T(types.Int2), []int16{-5})), one(vector.FromSlice(int8T, []int64{-5})), true},
		{"int4 = int8", one(vector.FromSlice(types.T(types.Int4), []int32{7})), one(vector.FromSlice(int8T, []int64{7})), true},
		{"-0 = 0", f8(math.Copysign(0, -1)), f8(0), true},
		{"NaN = NaN", f8(math.NaN()), f8(math.Float64frombits(0xFFF8000000000001)), true},
		{"float4 = float8", one(vector.FromSlice(types.T(types.Float4), []float32{1.5})), f8(1.5), true},
		{"1.50 = 1.5", dec(types.Decimal{Lo: 150, Scale: 2}), dec(types.Decimal{Lo: 15, Scale: 1}), true},
		{"0.00 = 0", dec(types.Decimal{Scale: 2}), dec(types.Decimal{}), true},
		{"-1.0 = -1", dec(types.Decimal{Lo: ^uint64(9), Hi: -1, Scale: 1}), dec(types.Decimal{Lo: ^uint64(0), Hi: -1}), true},
		{"1 ≠ -1", dec(types.Decimal{Lo: 1}), dec(types.Decimal{Lo: ^uint64(0), Hi: -1}), false},
		{"1 ≠ 0.1", dec(types.Decimal{Lo: 1}), dec(types.Decimal{Lo: 1, Scale: 1}), false},
		{"1 month = 30 days", iv(1, 0, 0), iv(0, 30, 0), true},
		{"1 day = 24 h", iv(0, 1, 0), iv(0, 0, dayMicros), true},
		{"1 day - 1 h = 23 h", iv(0, 1, -3600e6), iv(0, 0, 23*3600e6), true},
		{"char blanks", str(types.Bpchar, "a  "), str(types.Bpchar, "a"), true},
		{"text blanks", str(types.Text, "a  "), str(types.Text, "a"), false},
		{"null int = null text", one(vector.NewNull(int8T, 1)), one(vector.NewNull(textT, 1)), true},
		{"frozen int", one(vector.FromSlice(int8T, []int64{42})), 0xaf45b6f8fa6f4e57, true},
		{"frozen text", str(types.Text, "volley"), 0x4a78807ca4419e99, true},
	}
	for _, p := range pairs {
		if (p.a == p.b) != p.same {
			t.Errorf("%s: %#x and %#x", p.name, p.a, p.b)
		}
	}
	flat := vector.FromStrings(textT, []string{"x", "y", "x", "y"})
	dict := vector.FromDict(textT, []int32{0, 1, 0, 1}, vector.FromStrings(textT, []string{"x", "y"}))
	cons := vector.NewConst(vector.FromStrings(textT, []string{"x"}), 4)
	var a, b, c [4]uint64
	HashRows([]*vector.Vector{flat, flat}, 4, a[:])
	HashRows([]*vector.Vector{dict, flat}, 4, b[:])
	HashRows([]*vector.Vector{cons, flat}, 4, c[:])
	if a != b || a[0] != c[0] || a[1] == c[1] {
		t.Error("forms hash differently", a, b, c)
	}
}

func TestPartitionsOfTasks(t *testing.T) {
	for _, c := range []struct{ count, tasks int }{{64, 5}, {3, 7}, {8, 8}} {
		p := &proto.Partitioning{Kind: proto.Partitioning_HASH, Count: uint32(c.count)}
		next := 0
		for task := range c.tasks {
			from, to := Partitions(p, task, c.tasks)
			if from != next || to < from {
				t.Fatalf("%v: task %d reads %d…%d after %d", c, task, from, to, next)
			}
			next = to
		}
		if next != c.count {
			t.Fatalf("%v: ends at %d", c, next)
		}
	}
}

// Only sealed outputs of live queries can be read, and a drop leaves nothing.
func TestStoreLife(t *testing.T) {
	s := newStore(t, 1<<10)
	p := &proto.Partitioning{Kind: proto.Partitioning_SINGLE}
	out, err := s.Create(key(0), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(key(0), 1); err == nil {
		t.Error("the same attempt twice")
	}
	for range 10 {
		if err := out.Append(0, numbers(0, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	var fe *FetchError
	if _, err := s.Open(key(0), 0); !errors.As(err, &fe) || !fe.Gone || pgerr.ClassOf(err) != pgerr.FetchFailed {
		t.Errorf("unsealed output opened: %v", err)
	}
	out.Abort()
	fill(t, s, key(1), p, 5000, 1)
	src, err := s.Open(key(1), 0)
	if err != nil {
		t.Fatal(err)
	}
	s.DropQuery("q")
	if _, err := src.Next(context.Background()); !errors.As(err, &fe) || fe.Task != key(1) {
		t.Errorf("read after drop: %v", err)
	}
	if _, err := s.Create(key(2), 1); pgerr.Code(err) != pgerr.QueryCanceled {
		t.Errorf("late task accepted: %v", err)
	}
	if m, d, n := s.Usage(); m != 0 || d != 0 || n != 0 {
		t.Errorf("left: %d bytes, %d on disk, %d outputs", m, d, n)
	}
	if files, _ := os.ReadDir(s.cfg.Dir); len(files) != 0 {
		t.Errorf("files left: %v", files)
	}
}

func TestDiskLimit(t *testing.T) {
	s, err := NewStore(StoreConfig{Dir: t.TempDir(), Memory: 1 << 10, Disk: 1 << 14})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, _ := s.Create(key(0), 1)
	for err == nil {
		err = out.Append(0, numbers(0, 1000))
	}
	if pgerr.Code(err) != pgerr.DiskFull {
		t.Fatal(err)
	}
	out.Abort()
	if m, d, n := s.Usage(); m != 0 || d != 0 || n != 0 {
		t.Errorf("left: %d bytes, %d on disk, %d outputs", m, d, n)
	}
}

// A damaged spill file gives a FetchError, never rows.
func TestDamagedSpill(t *testing.T) {
	s := newStore(t, 1)
	fill(t, s, key(0), &proto.Partitioning{Kind: proto.Partitioning_SINGLE}, 20_000, 1)
	o := s.outputs[key(0)]
	if _, err := o.file.WriteAt([]byte{0xAA, 0x55, 0xAA}, 500); err != nil {
		t.Fatal(err)
	}
	src, err := s.Open(key(0), 0)
	for err == nil {
		var b *vector.Batch
		if b, err = src.Next(context.Background()); b == nil && err == nil {
			t.Fatal("read to the end")
		}
	}
	var fe *FetchError
	if !errors.As(err, &fe) || !fe.Gone {
		t.Fatal(err)
	}
}

// serve starts a gRPC server for a store; cut, when positive, counts the chunks
// that a Fetch may send before it is broken off.
func serve(t *testing.T, s *Store, cut *atomic.Int64) (string, *grpc.Server) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
		return h(srv, &cutStream{ss, cut})
	}))
	Register(g, s)
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(l) }()
	t.Cleanup(func() { g.Stop(); <-done })
	return l.Addr().String(), g
}

type cutStream struct {
	grpc.ServerStream
	left *atomic.Int64
}

func (c *cutStream) SendMsg(m any) error {
	if c.left != nil && c.left.Add(-1) == 0 {
		return Status(14, pgerr.New(pgerr.IOError, "cut").WithClass(pgerr.Transient)) // Unavailable
	}
	return c.ServerStream.SendMsg(m)
}

// Reading over gRPC gives the same rows as reading locally, also when the
// stream breaks in the middle.
func TestRemote(t *testing.T) {
	for _, memory := range []int64{1 << 30, 1 << 12} {
		s := newStore(t, memory)
		p := &proto.Partitioning{Kind: proto.Partitioning_HASH, Count: 4}
		fill(t, s, key(0), p, 200_000, 3)
		var cut atomic.Int64
		addr, _ := serve(t, s, &cut)
		peers := NewPeers()
		defer peers.Close()
		var want []int64
		for part := range uint32(3) {
			l, err := s.Open(key(0), part)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, drain(t, l)...)
		}
		for _, after := range []int64{0, 1, 2, 5} {
			cut.Store(after)
			got := drain(t, peers.Remote(addr, "i1", key(0), 0, 1, 2))
			if !slices.Equal(got, want) {
				t.Fatalf("cut %d: %d rows instead of %d", after, len(got), len(want))
			}
			if after > 0 && cut.Load() > 0 {
				t.Fatal("the fault did not fire")
			}
		}
		var fe *FetchError
		if _, err := peers.Remote(addr, "i2", key(0), 0).Next(context.Background()); !errors.As(err, &fe) || !fe.Gone {
			t.Errorf("wrong incarnation: %v", err)
		}
		if _, err := peers.Remote(addr, "i1", key(9), 0).Next(context.Background()); !errors.As(err, &fe) || !fe.Gone || fe.Task != key(9) {
			t.Errorf("unknown output: %v", err)
		}
		if inc, err := peers.Ping(context.Background(), addr); err != nil || inc != "i1" {
			t.Errorf("ping: %q %v", inc, err)
		}
	}
}

// A block above the message size travels in pieces.
func TestRemoteBigBlock(t *testing.T) {
	s := newStore(t, 1<<30)
	out, _ := s.Create(key(0), 1)
	big := vector.FromStrings(textT, []string{string(make([]byte, 5<<20)), "x"})
	if err := out.Append(0, vector.NewBatch([]*vector.Vector{big}, 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Seal(); err != nil {
		t.Fatal(err)
	}
	addr, _ := serve(t, s, nil)
	peers := NewPeers()
	defer peers.Close()
	src := peers.Remote(addr, "i1", key(0), 0)
	b, err := src.Next(context.Background())
	if err != nil || len(b.Col(0).BytesAt(0)) != 5<<20 {
		t.Fatal(err)
	}
	if err := src.Close(); err != nil {
		t.Fatal(err)
	}
}

// A process that is gone is a vote: a FetchError that is not Gone; a cancelled
// reader gets 57014 at once.
func TestRemoteUnreachable(t *testing.T) {
	s := newStore(t, 1<<30)
	addr, g := serve(t, s, nil)
	g.Stop()
	peers := NewPeers()
	defer peers.Close()
	_, err := peers.Remote(addr, "i1", key(0), 0).Next(context.Background())
	var fe *FetchError
	if !errors.As(err, &fe) || fe.Gone || pgerr.ClassOf(err) != pgerr.FetchFailed {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := peers.Remote(addr, "i1", key(0), 0).Next(ctx); pgerr.Code(err) != pgerr.QueryCanceled {
		t.Fatal(err)
	}
}

func BenchmarkScatter(b *testing.B) {
	s := newStore(b, 1<<40)
	p := &proto.Partitioning{Kind: proto.Partitioning_HASH, Count: 64}
	batch := numbers(0, vector.DefaultRows)
	keys := []*vector.Vector{batch.Col(0)}
	var n uint32
	out, _ := s.Create(TaskKey{Query: "b"}, 64)
	w := NewWriter(out, p, 0, 0)
	for b.Loop() {
		if err := w.Write(context.Background(), batch, keys); err != nil {
			b.Fatal(err)
		}
		if n++; n%500 == 0 {
			out.Abort()
			out, _ = s.Create(TaskKey{Query: "b", Attempt: n}, 64)
			w = NewWriter(out, p, 0, 0)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/vector.DefaultRows, "ns/row")
}
