// Package mainjob does Volley's main job from SQL, embedded and on clusters:
// load a file, number and partition its rows, score them with a Go plugin.
package mainjob

import (
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/volleydb/volley/examples"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/test/engine"
	"github.com/volleydb/volley/udf"
)

var (
	buildOnce sync.Once
	built     map[string]string // artifact file by plugin
	buildErr  error
	buildDir  string
)

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(buildDir)
	os.Exit(code)
}

// artifacts builds the plugins once per test binary.
func artifacts(t testing.TB) map[string]string {
	t.Helper()
	buildOnce.Do(func() {
		built = map[string]string{}
		if buildDir, buildErr = os.MkdirTemp("", "volley-mainjob"); buildErr != nil {
			return
		}
		build := func(name, dir string) {
			if buildErr == nil {
				_, buildErr = udf.Build(context.Background(), dir, udf.BuildOptions{Output: filepath.Join(buildDir, name+".vudf")})
				built[name] = filepath.Join(buildDir, name+".vudf")
			}
		}
		for _, n := range examples.Names {
			dir := filepath.Join(buildDir, n)
			if buildErr == nil {
				buildErr = os.MkdirAll(dir, 0o755)
			}
			if buildErr == nil {
				buildErr = examples.Write(n, dir)
			}
			build(n, dir)
		}
		build("faulty", "testdata/faulty")
	})
	if buildErr != nil {
		t.Fatalf("building the plugins: %v", buildErr)
	}
	return built
}

// push uploads a plugin and returns name@digest.
func push(t testing.TB, e *engine.Engine, name string) string {
	t.Helper()
	digest, err := e.Artifacts.PutFile(context.Background(), artifacts(t)[name])
	if err != nil {
		t.Fatal(err)
	}
	return name + "@" + digest
}

func must(t testing.TB, s *engine.Session, sql string) *engine.Rows {
	t.Helper()
	return s.Must(t, sql)
}

// games is a file of rows like the real one, or the real one.
func games(t *testing.T) (path string, features [][10]float64) {
	real := filepath.Join("..", "..", "..", "shared", "data", "games-expand.csv")
	path = real
	if _, err := os.Stat(real); err != nil {
		path = filepath.Join(t.TempDir(), "games.csv")
		r := rand.New(rand.NewPCG(1, 2))
		var sb strings.Builder
		sb.WriteString(`"G1","G2","G3","G4","G5","G6","G7","G8","G9","G10","label"` + "\n")
		for i := 0; i < 22905; i++ {
			for c := 0; c < 10; c++ {
				fmt.Fprintf(&sb, "%d,", r.IntN(2))
			}
			fmt.Fprintf(&sb, "%d\n", r.IntN(2))
		}
		if err := os.WriteFile(path, []byte(sb.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	recs, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range recs[1:] {
		var row [10]float64
		for i := range row {
			if row[i], err = strconv.ParseFloat(rec[i], 64); err != nil {
				t.Fatal(err)
			}
		}
		features = append(features, row)
	}
	return path, features
}

const gs = "g1, g2, g3, g4, g5, g6, g7, g8, g9, g10"

// predict is the plain Go loop over the example's coefficients.
func predict(g [10]float64) float64 {
	w := [10]float64{0.8, -1.1, 0.45, 0.2, -0.65, 1.3, -0.15, 0.7, -0.9, 0.25}
	z := -0.3 + w[0]*g[0] + w[1]*g[1] + w[2]*g[2] + w[3]*g[3] + w[4]*g[4] + w[5]*g[5] + w[6]*g[6] + w[7]*g[7] + w[8]*g[8] + w[9]*g[9]
	return 1 / (1 + math.Exp(-z))
}

// TestMainJob runs the statements of the design embedded and with 1, 2 and 3
// workers; results must be right, and the same everywhere for one seed.
func TestMainJob(t *testing.T) {
	path, features := games(t)
	n := len(features)
	var first string
	for workers := 0; workers <= 3; workers++ {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			e := engine.Start(t, workers)
			ref := push(t, e, "score")
			s := e.Session()
			defer s.Close()
			must(t, s, "SET volley.seed = 42")
			must(t, s, "CREATE TABLE games AS SELECT * FROM read_csv('"+path+"')")
			if r := must(t, s, "SELECT count(*) FROM games"); r.Rows[0][0] != strconv.Itoa(n) {
				t.Fatalf("%s rows loaded, the file has %d", r.Rows[0][0], n)
			}
			must(t, s, `CREATE TABLE users AS SELECT *, user_id % 10 AS partition_id
				FROM (SELECT *, row_number() OVER (ORDER BY random()) AS user_id FROM games) g`)
			if r := must(t, s, "SELECT count(DISTINCT user_id), min(user_id), max(user_id) FROM users"); strings.Join(r.Rows[0], " ") != fmt.Sprintf("%d 1 %d", n, n) {
				t.Errorf("user_id is not exactly 1…%d: %v", n, r.Rows[0])
			}
			r := must(t, s, "SELECT count(*), max(c) - min(c) FROM (SELECT count(*) c FROM users GROUP BY partition_id) p")
			if strings.Join(r.Rows[0], " ") != "10 1" && strings.Join(r.Rows[0], " ") != "10 0" {
				t.Errorf("10 partitions that differ by at most 1 row: %v", r.Rows[0])
			}
			must(t, s, `CREATE FUNCTION score_udf(user_id bigint, g1 float8, g2 float8, g3 float8, g4 float8, g5 float8,
				g6 float8, g7 float8, g8 float8, g9 float8, g10 float8)
				RETURNS TABLE (user_id bigint, prediction float8) AS '`+ref+`', 'Score' LANGUAGE go IMMUTABLE`)
			must(t, s, `CREATE FUNCTION score_row(float8, float8, float8, float8, float8, float8, float8, float8, float8, float8)
				RETURNS float8 AS '`+ref+`', 'score_row' LANGUAGE go`)
			apply := must(t, s, "SELECT user_id, prediction FROM users GROUP BY partition_id APPLY score_udf(user_id, "+gs+") ORDER BY user_id")
			scalar := must(t, s, "SELECT user_id, score_row("+gs+") FROM users ORDER BY user_id")
			rows := must(t, s, "SELECT user_id, "+gs+" FROM users ORDER BY user_id")
			if len(apply.Rows) != n || len(scalar.Rows) != n {
				t.Fatalf("%d and %d predictions for %d rows", len(apply.Rows), len(scalar.Rows), n)
			}
			for i := range apply.Rows {
				if apply.Rows[i][0] != scalar.Rows[i][0] || apply.Rows[i][1] != scalar.Rows[i][1] {
					t.Fatalf("user %v: APPLY says %v, the scalar form %v", apply.Rows[i][0], apply.Rows[i][1], scalar.Rows[i][1])
				}
				var g [10]float64
				for c := range g {
					g[c], _ = strconv.ParseFloat(rows.Rows[i][c+1], 64)
				}
				if want := strconv.FormatFloat(predict(g), 'g', -1, 64); apply.Rows[i][1] != want {
					t.Fatalf("user %v: prediction %v, a plain loop says %v", apply.Rows[i][0], apply.Rows[i][1], want)
				}
			}
			canonical := must(t, s, "SELECT user_id, prediction FROM (SELECT (score_udf(user_id, "+gs+")).* FROM users GROUP BY partition_id) x ORDER BY 1")
			if fmt.Sprint(canonical.Rows) != fmt.Sprint(apply.Rows) {
				t.Error("the canonical form gives other rows than APPLY")
			}
			// Without ORDER BY, too, the order is the same everywhere.
			all := fmt.Sprint(must(t, s, "SELECT * FROM users").Rows, apply.Rows,
				must(t, s, "SELECT *, partition_id FROM users GROUP BY partition_id APPLY score_udf(user_id, "+gs+")").Rows)
			if workers == 0 {
				first = all
			} else if all != first {
				t.Error("the rows differ from those of the embedded run")
			}
		})
	}
}

// TestMean and normalize: the other two examples.
func TestExamples(t *testing.T) {
	for workers := 0; workers <= 2; workers++ {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			e := engine.Start(t, workers)
			s := e.Session()
			defer s.Close()
			must(t, s, "CREATE AGGREGATE mean_udf(float8) (ARTIFACT = '"+push(t, e, "mean")+"', SYMBOL = 'mean')")
			r := must(t, s, "SELECT k, mean_udf(v) FROM (VALUES (1,1),(1,2),(2,3),(2,5),(2,10)) t(k,v) GROUP BY k ORDER BY k")
			if fmt.Sprint(r.Rows) != "[[1 1.5] [2 6]]" {
				t.Errorf("mean_udf: %v", r.Rows)
			}
			r = must(t, s, "SELECT g, mean_udf(g) OVER (ORDER BY g ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM generate_series(1,3) g")
			if fmt.Sprint(r.Rows) != "[[1 1] [2 1.5] [3 2.5]]" {
				t.Errorf("mean_udf OVER: %v", r.Rows)
			}
			r = must(t, s, "SELECT mean_udf(g), mean_udf(g) FILTER (WHERE g > 5000000) FROM generate_series(1, 2000001) g")
			if fmt.Sprint(r.Rows) != "[[1000001 NULL]]" {
				t.Errorf("mean_udf over many tasks: %v", r.Rows)
			}
			must(t, s, "CREATE FUNCTION normalize_udf(s text) RETURNS text AS '"+push(t, e, "normalize")+"', 'normalize' LANGUAGE go STRICT")
			r = must(t, s, "SELECT normalize_udf(x) FROM (VALUES ('  Crème  Brûlée '), (NULL), ('')) v(x)")
			if fmt.Sprint(r.Rows) != "[[creme brulee] [NULL] []]" {
				t.Errorf("normalize: %v", r.Rows)
			}
			// Without its schema it is SQL's own.
			must(t, s, `CREATE FUNCTION "normalize"(s text) RETURNS text AS 'normalize', 'normalize' LANGUAGE go`)
			if r = must(t, s, "SELECT public.normalize(' A  b ')"); r.Rows[0][0] != "a b" {
				t.Errorf("normalize: %v", r.Rows)
			}
		})
	}
}

// TestFaultyFunctions: errors say where, and neither the worker nor other
// queries suffer.
func TestFaultyFunctions(t *testing.T) {
	for _, workers := range []int{0, 2} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			e := engine.Start(t, workers)
			s := e.Session()
			defer s.Close()
			ref := push(t, e, "faulty")
			for _, f := range []string{"panic_at", "loop_at", "exit_at"} {
				must(t, s, "CREATE FUNCTION "+f+"(x bigint, at bigint) RETURNS bigint AS '"+ref+"', '"+f+"' LANGUAGE go")
			}
			must(t, s, "CREATE FUNCTION panic_group(id bigint) RETURNS TABLE (id bigint) AS '"+ref+"', 'PanicGroup' LANGUAGE go")
			fails := func(sql, code string, parts ...string) {
				t.Helper()
				_, err := s.Run(context.Background(), sql)
				if pgerr.Code(err) != code {
					t.Fatalf("%s: %v (%s), want %s", sql, err, pgerr.Code(err), code)
				}
				pe := pgerr.From(err)
				all := strings.Join([]string{pe.Message, pe.Detail, pe.Where, pe.Hint}, "\n")
				for _, p := range parts {
					if !strings.Contains(all, p) {
						t.Errorf("%s: the error lacks %q:\n%s", sql, p, all)
					}
				}
			}
			fails("SELECT sum(panic_at(g, 42)) FROM generate_series(1, 1000) g", "38000", "panic_at", "no value for 42", "42")
			fails("SELECT * FROM (SELECT g, g % 10 AS k FROM generate_series(1,100) g) t GROUP BY k APPLY panic_group(g)", "38000",
				"panic_group", "no model for 77", "k", "7")
			fails("SELECT sum(exit_at(g, 5)) FROM generate_series(1, 10) g", "38000", "exit_at")
			fails("SELECT panic_at('x'::text, 1)", "42883", "bigint")
			if r := must(t, s, "SELECT sum(panic_at(g, 0)) FROM generate_series(1, 1000) g"); r.Rows[0][0] != "500500" {
				t.Errorf("after the faults: %v", r.Rows)
			}
			// Two sessions: one loops and is cancelled, the other goes on.
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() {
				l := e.Session()
				defer l.Close()
				_, err := l.Run(ctx, "SELECT loop_at(g, 500) FROM generate_series(1, 1000) g")
				ended <- err
			}()
			time.Sleep(300 * time.Millisecond)
			if r := must(t, s, "SELECT sum(panic_at(g, 0)) FROM generate_series(1, 100) g"); r.Rows[0][0] != "5050" {
				t.Errorf("beside a loop: %v", r.Rows)
			}
			start := time.Now()
			cancel()
			err := <-ended
			if pgerr.Code(err) != pgerr.QueryCanceled {
				t.Errorf("cancelled loop: %v", err)
			}
			if d := time.Since(start); d > 2*time.Second {
				t.Errorf("cancelling a loop took %v", d)
			}
		})
	}
}
