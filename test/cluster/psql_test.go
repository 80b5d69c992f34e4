package cluster

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSameThroughPsql runs the main job through psql against serve and against
// a coordinator with 1, 2 and 3 workers: for one seed, the output is the same
// byte for byte.
func TestSameThroughPsql(t *testing.T) {
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not on the PATH")
	}
	csv := gamesFile(t)
	var first []byte
	for workers := 0; workers <= 3; workers++ {
		var server *process
		var c *cluster
		if workers == 0 {
			server = start(t, "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")
			c = &cluster{coordinator: server}
		} else {
			c = startCluster(t, workers)
		}
		ref := pushScore(t, c.connect(t))
		script := fmt.Sprintf(`
SET volley.seed = 2026;
CREATE TABLE games AS SELECT * FROM read_csv('%s');
CREATE TABLE users AS
  SELECT *, user_id %% 10 AS partition_id
  FROM (SELECT *, row_number() OVER (ORDER BY random()) AS user_id FROM games) g;
CREATE FUNCTION score_udf(user_id bigint, g1 float8, g2 float8, g3 float8, g4 float8, g5 float8,
    g6 float8, g7 float8, g8 float8, g9 float8, g10 float8)
  RETURNS TABLE (user_id bigint, prediction float8) AS '%s', 'Score' LANGUAGE go IMMUTABLE;
SELECT partition_id, count(*), sum(label) FROM users GROUP BY partition_id;
SELECT * FROM users;
SELECT user_id, prediction FROM users GROUP BY partition_id APPLY score_udf(user_id, g1, g2, g3, g4, g5, g6, g7, g8, g9, g10);
SELECT partition_id, prediction FROM users GROUP BY partition_id APPLY score_udf(user_id, g1, g2, g3, g4, g5, g6, g7, g8, g9, g10) ORDER BY prediction, partition_id LIMIT 20;
\d users
\df score_udf
SELECT nosuch FROM users;
`, csv, ref)
		cmd := exec.Command(psql, "-X", "-d", c.coordinator.addr["postgres"], "-f", "-")
		cmd.Stdin = strings.NewReader(script)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("psql: %v\n%s", err, out)
		}
		if !bytes.Contains(out, []byte("(22905 rows)")) || !bytes.Contains(out, []byte("nosuch")) {
			t.Fatalf("psql says\n%s", tail(out, 2000))
		}
		if workers == 0 {
			first = out
		} else if !bytes.Equal(out, first) {
			t.Errorf("with %d workers psql's output differs from that of serve: %s", workers, difference(first, out))
		}
	}
}

// difference shows the first line that differs.
func difference(a, b []byte) string {
	x, y := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	for i := 0; i < min(len(x), len(y)); i++ {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d:\n%s\n%s", i+1, x[i], y[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(x), len(y))
}

// gamesFile is a CSV file of the shape of the real one.
func gamesFile(t *testing.T) string {
	t.Helper()
	var sb strings.Builder
	sb.WriteString(`"G1","G2","G3","G4","G5","G6","G7","G8","G9","G10","label"` + "\n")
	r := rand.New(rand.NewPCG(3, 4))
	for i := 0; i < 22905; i++ {
		for c := 0; c < 10; c++ {
			fmt.Fprintf(&sb, "%d,", r.IntN(2))
		}
		fmt.Fprintf(&sb, "%d\n", r.IntN(2))
	}
	path := filepath.Join(t.TempDir(), "games.csv")
	if err := os.WriteFile(path, []byte(sb.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
