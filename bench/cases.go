package main

import (
	"fmt"
	"strings"
)

// query is one line of the table.
type query struct {
	name string
	tags string // for --only, beside the name
	sql  string // for both engines
	// peer is DuckDB's text where it differs; "-" when DuckDB has nothing to
	// compare.
	peer string
	// loop: also compare with the Go loop over the columns in memory.
	loop bool
}

// weights and bias are those of examples/score.
var (
	weights = [10]float64{0.8, -1.1, 0.45, 0.2, -0.65, 1.3, -0.15, 0.7, -0.9, 0.25}
	bias    = -0.3
)

const features = "g1, g2, g3, g4, g5, g6, g7, g8, g9, g10"

// queries are the lines of the table. Every query returns a few rows, so that
// handing over the result costs neither engine anything.
func queries(d dataset) []query {
	csv := "read_csv(" + quote(d.csv()) + ")"
	pq := "read_parquet(" + quote(d.parquet()) + ")"
	js := "read_ndjson(" + quote(d.ndjson()) + ")"
	dim := "read_parquet(" + quote(d.dim()) + ")"
	sums := make([]string, 10)
	terms := make([]string, 10)
	for i := range sums {
		sums[i] = fmt.Sprintf("sum(g%d)", i+1)
		terms[i] = fmt.Sprintf("(%v::float8) * g%d", weights[i], i+1)
	}
	grouped := func(key string) string {
		return fmt.Sprintf("SELECT count(*), sum(n)::bigint, sum(total), max(top) FROM (SELECT %s, count(*) AS n, sum(g1) AS total, max(g2) AS top FROM %s GROUP BY %[1]s) t", key, pq)
	}
	window := func(over string) string {
		return fmt.Sprintf("SELECT count(*), sum(rn * (user_id %% 7))::bigint, max(rn) FROM (SELECT user_id, row_number() OVER (%s) AS rn FROM %s) t", over, pq)
	}
	return []query{
		{name: "CSV scan, count and 3 sums", tags: "scan csv", sql: "SELECT count(*), sum(g1), sum(g10), sum(user_id)::bigint FROM " + csv},
		{name: "CSV scan, all columns", tags: "scan csv", sql: "SELECT " + strings.Join(sums, ", ") + ", sum(label)::bigint, sum(user_id)::bigint, sum(k)::bigint FROM " + csv},
		{name: "CSV scan, count", tags: "scan csv", sql: "SELECT count(*) FROM " + csv},
		{name: "NDJSON scan, count", tags: "scan json", sql: "SELECT count(*) FROM " + js},
		{name: "NDJSON scan, count and 3 sums", tags: "scan json", sql: "SELECT count(*), sum(g1), sum(g10), sum(user_id)::bigint FROM " + js},
		{name: "NDJSON scan, all columns", tags: "scan json", sql: "SELECT " + strings.Join(sums, ", ") + ", sum(user_id)::bigint, sum(k)::bigint, max(ts)::text, min(s8), max(s) FROM " + js},
		{name: "Parquet sum(bigint)", tags: "scan parquet", sql: "SELECT sum(user_id)::bigint FROM " + pq},
		{name: "Parquet sum(bigint), 10k distinct", tags: "scan parquet", sql: "SELECT sum(k10k)::bigint FROM " + pq},
		{name: "Parquet sum(double)", tags: "scan parquet", sql: "SELECT sum(g1) FROM " + pq},
		{name: "Parquet min(text), 100k distinct", tags: "scan parquet", sql: "SELECT min(s) FROM " + pq},
		{name: "Parquet min(text), 8 distinct", tags: "scan parquet", sql: "SELECT min(s8) FROM " + pq},
		{name: "Parquet 10 features", tags: "scan parquet udf", sql: "SELECT " + strings.Join(sums, ", ") + " FROM " + pq},
		{name: "filter, 2 columns", tags: "filter", sql: "SELECT count(*), sum(g1) FROM " + pq + " WHERE g2 > 0.5 AND k < 5"},
		{name: "filter on text", tags: "filter", sql: "SELECT count(*), sum(g1) FROM " + pq + " WHERE s8 = 'segment-3'"},
		{name: "GROUP BY text, 8 groups", tags: "group", sql: grouped("s8")},
		{name: "GROUP BY bigint, 10k groups", tags: "group", sql: grouped("k10k")},
		{name: fmt.Sprintf("GROUP BY bigint, %s groups", short(d.dimRows())), tags: "group", sql: grouped("k1m")},
		{name: "GROUP BY text, 100k groups", tags: "group", sql: grouped("s")},
		{name: "row_number OVER (PARTITION BY k ORDER BY ts)", tags: "window", sql: window("PARTITION BY k ORDER BY ts")},
		{name: "row_number OVER (PARTITION BY k10k ORDER BY ts)", tags: "window", sql: window("PARTITION BY k10k ORDER BY ts")},
		{name: "row_number OVER (ORDER BY random())", tags: "window",
			sql: "SELECT count(*), sum(rn)::bigint, min(rn), max(rn) FROM (SELECT user_id, row_number() OVER (ORDER BY random()) AS rn FROM " + pq + ") t"},
		{name: fmt.Sprintf("join %s x %s", short(d.rows), short(d.dimRows())), tags: "join",
			sql: "SELECT count(*), sum(v), sum(g1) FROM " + pq + " r JOIN " + dim + " d ON r.k1m = d.id"},
		{name: "ORDER BY LIMIT 10", tags: "sort", sql: "SELECT user_id, g1 FROM " + pq + " ORDER BY g1, user_id LIMIT 10"},
		// The offset makes both engines sort everything and return little.
		{name: "full sort", tags: "sort", sql: fmt.Sprintf("SELECT user_id, g1, s8 FROM %s ORDER BY g1, user_id OFFSET %d", pq, d.rows-5)},
		{name: "score as an SQL expression", tags: "udf", loop: true,
			sql: fmt.Sprintf("SELECT sum(1 / (1 + exp(-((%v::float8) + %s)))) FROM %s", bias, strings.Join(terms, " + "), pq)},
		{name: "score_row(…), vectorised scalar UDF", tags: "udf", loop: true, peer: "-",
			sql: "SELECT sum(score_row(" + features + ")) FROM " + pq},
		{name: "GROUP BY k APPLY score_udf(…)", tags: "udf", loop: true, peer: "-",
			sql: "SELECT sum(prediction) FROM (SELECT user_id, prediction FROM " + pq + " GROUP BY k APPLY score_udf(user_id, " + features + ")) p"},
	}
}

func short(n int) string {
	switch {
	case n >= 1e6 && n%1e6 == 0:
		return fmt.Sprintf("%dM", n/1e6)
	case n >= 1e3 && n%1e3 == 0:
		return fmt.Sprintf("%dk", n/1e3)
	}
	return fmt.Sprint(n)
}
