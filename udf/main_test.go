package udf

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// plugin is testdata/plugin, built once; nil without a Go toolchain.
var plugin *Artifact
var pluginStore *Store

func TestMain(m *testing.M) {
	code := func() int {
		dir, err := os.MkdirTemp("", "udf-test-")
		if err != nil {
			fmt.Println(err)
			return 1
		}
		defer os.RemoveAll(dir)
		os.Setenv("TMPDIR", dir)
		if _, err := exec.LookPath("go"); err == nil {
			plugin, err = Build(context.Background(), "testdata/plugin", BuildOptions{})
			if err != nil {
				fmt.Println("building testdata/plugin:", err, detail(err))
				return 1
			}
			if pluginStore, err = OpenStore(dir + "/store"); err == nil {
				_, err = pluginStore.PutFile(context.Background(), plugin.Path)
			}
			if err != nil {
				fmt.Println(err)
				return 1
			}
		}
		code := m.Run()
		if code == 0 {
			if err := goleak.Find(); err != nil {
				fmt.Println(err)
				return 1
			}
		}
		return code
	}()
	os.Exit(code)
}

// testHost makes a host that the test closes.
func testHost(t testing.TB, change func(*HostConfig)) *Host {
	t.Helper()
	if plugin == nil {
		t.Skip("there is no Go toolchain: plugins cannot be built")
	}
	logTo := io.Discard
	if os.Getenv("VOLLEY_TEST_LOG") != "" {
		logTo = os.Stderr
	}
	c := HostConfig{Store: pluginStore, Logger: slog.New(slog.NewTextHandler(logTo, nil)), TempDir: t.TempDir()}
	if change != nil {
		change(&c)
	}
	h, err := NewHost(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// ref makes the plan's reference to a function of the test plugin.
func ref(symbol string, kind function.Kind, args []types.Type, returns types.Type, columns ...vector.Field) *proto.UDF {
	digest := ""
	if plugin != nil {
		digest = plugin.Digest
	}
	return RefToProto(&function.Function{Name: symbol, Kind: kind, Args: args, Returns: returns, Columns: columns,
		UDF: &function.UDFRef{Digest: digest, Symbol: symbol}})
}

func scalarRef(symbol string, returns types.ID, args ...types.ID) *proto.UDF {
	return ref(symbol, function.Scalar, typeList(args...), types.T(returns))
}

func typeList(ids ...types.ID) []types.Type {
	ts := make([]types.Type, len(ids))
	for i, id := range ids {
		ts[i] = types.T(id)
	}
	return ts
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func ints(vals ...int64) *vector.Vector { return vector.FromSlice(types.T(types.Int8), vals) }

func floats(vals ...float64) *vector.Vector { return vector.FromSlice(types.T(types.Float8), vals) }

func texts(vals ...string) *vector.Vector { return vector.FromStrings(types.T(types.Text), vals) }

// nulls makes rows NULL.
func nulls(v *vector.Vector, rows ...int) *vector.Vector {
	valid := vector.NewValid(v.Len)
	for _, r := range rows {
		vector.SetNull(valid, r)
	}
	return v.WithValid(valid)
}

// show prints a column.
func show(v *vector.Vector) string {
	v = v.Flatten()
	var s strings.Builder // columns may be long
	for i := range v.Len {
		if i > 0 {
			s.WriteString(" ")
		}
		if v.IsNull(i) {
			s.WriteString("NULL")
			continue
		}
		switch v.Type.Phys() {
		case types.PhysBool:
			fmt.Fprint(&s, vector.At[bool](v, i))
		case types.PhysInt16:
			fmt.Fprint(&s, vector.At[int16](v, i))
		case types.PhysInt32:
			fmt.Fprint(&s, vector.At[int32](v, i))
		case types.PhysInt64:
			fmt.Fprint(&s, vector.At[int64](v, i))
		case types.PhysFloat32:
			fmt.Fprint(&s, vector.At[float32](v, i))
		case types.PhysFloat64:
			fmt.Fprint(&s, vector.At[float64](v, i))
		default:
			fmt.Fprintf(&s, "%q", v.BytesAt(i))
		}
	}
	return s.String()
}
