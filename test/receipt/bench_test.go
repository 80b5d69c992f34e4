package receipt

import (
	"context"
	"testing"

	"github.com/volleydb/volley/test/engine"
)

// BenchmarkReceipts is what a receipt costs a short query.
func BenchmarkReceipts(b *testing.B) {
	e := engine.Start(b, 0)
	for _, set := range []string{"off", "on"} {
		for _, q := range []struct{ name, sql string }{{"constant", `SELECT 1`}, {"table", `SELECT id, s FROM small WHERE id = 5`}} {
			b.Run(q.name+"/"+set, func(b *testing.B) {
				s := e.Session()
				defer s.Close()
				ctx := context.Background()
				run := func(sql string) {
					if _, err := s.Run(ctx, sql); err != nil {
						b.Fatal(err)
					}
				}
				run(`CREATE TABLE IF NOT EXISTS small AS SELECT i AS id, 'row ' || i AS s FROM generate_series(1, 100) i`)
				run(`SET volley.receipts = ` + set)
				b.ReportAllocs()
				for b.Loop() {
					run(q.sql)
				}
			})
		}
	}
}
