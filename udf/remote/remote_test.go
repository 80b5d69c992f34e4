package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf"
	sdk "github.com/volleydb/volley/udf/sdk"
	"github.com/volleydb/volley/vector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a function server that can go away and come back.
type server struct {
	addr string
	stop func()
}

func serve(t testing.TB, addr, version string) *server {
	t.Helper()
	return serveWith(t, addr, version, Options{})
}

func serveWith(t testing.TB, addr, version string, o Options) *server {
	t.Helper()
	var lis net.Listener
	var err error
	for range 50 {
		if lis, err = net.Listen("tcp", addr); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	decls := []sdk.Decl{
		sdk.Name("remote"), sdk.Version(version),
		sdk.Scalar("Twice", func(x float64) float64 { return x*2 + 1 }),
		sdk.Scalar("Fail", func(x float64) (float64, error) {
			if x == 3 {
				return 0, fmt.Errorf("three")
			}
			return x, nil
		}),
		sdk.Scalar("Sleep", func(x float64) float64 { time.Sleep(time.Duration(x) * time.Millisecond); return x }),
		sdk.Aggregate("Sum", nil, func(s *float64, x float64) { *s += x }, func(a, b *float64) { *a += *b }, func(s *float64) float64 { return *s }),
	}
	go func() { done <- Serve(ctx, lis, o, decls...) }()
	s := &server{addr: lis.Addr().String()}
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		s.stop = func() {}
	}
	t.Cleanup(func() { s.stop() })
	return s
}

func host(t testing.TB) (*udf.Host, *udf.Store) {
	t.Helper()
	store, err := udf.OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h, err := udf.NewHost(udf.HostConfig{Store: store, TempDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h, store
}

func ref(digest, symbol string, kind function.Kind) *proto.UDF {
	f8 := types.T(types.Float8)
	return udf.RefToProto(&function.Function{Name: symbol, Kind: kind, Args: []types.Type{f8}, Returns: f8, UDF: &function.UDFRef{Digest: digest, Symbol: symbol}})
}

func call(t testing.TB, h *udf.Host, r *proto.UDF, xs ...float64) ([]float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	s, err := h.Scalar(ctx, r)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	v, err := s.Call(ctx, []*vector.Vector{vector.FromSlice(types.T(types.Float8), xs)}, len(xs))
	if err != nil {
		return nil, err
	}
	return vector.Values[float64](v), nil
}

func TestServer(t *testing.T) {
	srv := serve(t, "127.0.0.1:0", "1")
	h, store := host(t)
	ctx := context.Background()
	digest, err := store.PutServer(ctx, srv.addr)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := store.PutServer(ctx, srv.addr); err != nil || again != digest {
		t.Errorf("%s, then %s (%v)", digest, again, err)
	}
	xs := make([]float64, 200_000)
	for i := range xs {
		xs[i] = float64(i)
	}
	twice := ref(digest, "Twice", function.Scalar)
	got, err := call(t, h, twice, xs...)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got {
		if v != xs[i]*2+1 {
			t.Fatalf("row %d is %g", i, v)
		}
	}
	_, err = call(t, h, ref(digest, "Fail", function.Scalar), 1, 2, 3)
	if e := pgerr.From(err); e.Code != "38000" || !strings.Contains(e.Message, "three") || !strings.Contains(e.Where, "row 3") {
		t.Error(err, e.Where)
	}
	slow := ref(digest, "Sleep", function.Scalar)
	slow.TimeoutMs = 300
	if _, err = call(t, h, slow, 700); pgerr.Code(err) != pgerr.QueryCanceled {
		t.Error(err)
	}
	time.Sleep(500 * time.Millisecond) // the connection ends with the call
	a, err := h.Aggregate(ctx, ref(digest, "Sum", function.Aggregate), []types.Type{types.T(types.Float8)})
	if err != nil {
		t.Fatal(err)
	}
	a.Grow(1)
	if err := a.Update(nil, []*vector.Vector{vector.FromSlice(types.T(types.Float8), xs)}, len(xs)); err != nil {
		t.Fatal(err)
	}
	v, err := a.Final(0, 1)
	if err != nil || vector.Values[float64](v)[0] != 19999900000 {
		t.Error(v, err)
	}
	a.Close()

	// Away for a while: the next call connects again.
	srv.stop()
	back := make(chan *server)
	go func() {
		time.Sleep(300 * time.Millisecond)
		back <- serve(t, srv.addr, "1")
	}()
	if got, err = call(t, h, twice, 1); err != nil || got[0] != 3 {
		t.Error(got, err)
	}
	srv = <-back

	// Another version is another function.
	srv.stop()
	srv = serve(t, srv.addr, "2")
	_, err = call(t, h, twice, 1)
	if pgerr.Code(err) != "39000" || !strings.Contains(err.Error(), "has changed since") {
		t.Error(err)
	}
	if now, err := store.PutServer(ctx, srv.addr); err != nil || now == digest {
		t.Error(now, err)
	}
}

func TestAddresses(t *testing.T) {
	_, store := host(t)
	for addr, want := range map[string]string{
		"nowhere": "22023", "http://a:1": "22023", "grpc://a:1?ca=x": "22023", "tls://a:1?ca=/no/such/file": "58P01",
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		_, err := store.PutServer(ctx, addr)
		cancel()
		if pgerr.Code(err) != want {
			t.Errorf("%s: %v", addr, err)
		}
	}
	// Nobody listens.
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lis.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if _, err := store.PutServer(ctx, lis.Addr().String()); !errors.Is(err, context.DeadlineExceeded) && pgerr.Code(err) != pgerr.QueryCanceled {
		t.Error(err)
	}
}

func BenchmarkServer(b *testing.B) {
	srv := serve(b, "127.0.0.1:0", "1")
	h, store := host(b)
	ctx := context.Background()
	digest, err := store.PutServer(ctx, srv.addr)
	if err != nil {
		b.Fatal(err)
	}
	s, err := h.Scalar(ctx, ref(digest, "Twice", function.Scalar))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const n = 64 << 10
	args := []*vector.Vector{vector.FromSlice(types.T(types.Float8), make([]float64, n))}
	for b.Loop() {
		if _, err := s.Call(ctx, args, n); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
}
