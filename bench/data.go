package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// dataVersion changes whenever the generated files do.
const dataVersion = 1

// dataset is the generated input. Rows are a function of their number alone, so
// that two runs, on whatever machine, read the same files.
type dataset struct {
	dir  string
	rows int
}

func (d dataset) csv() string { return filepath.Join(d.dir, "features.csv") }

// parquet has the columns of the CSV file and, computed from user_id: ts
// (unique), k10k, k1m, s8 (8 strings) and s (100,000 strings).
func (d dataset) parquet() string { return filepath.Join(d.dir, "rows.parquet") }

// dim is the small side of the join, a fifth of the rows: id (unique), v.
func (d dataset) dim() string { return filepath.Join(d.dir, "dim.parquet") }

func (d dataset) dimRows() int { return max(d.rows/5, 1) }

// ndjson has the features, user_id, k, ts, s8 and s of as many rows as dim has, an
// object per line.
func (d dataset) ndjson() string { return filepath.Join(d.dir, "rows.ndjson") }

// prepare generates what is not in the cache yet. DuckDB writes the Parquet
// files: neither engine then reads a layout of Volley's making.
func prepare(ctx context.Context, root string, rows int, duck *duckDB, say func(string, ...any)) (dataset, error) {
	d := dataset{dir: filepath.Join(root, fmt.Sprintf("rows-%d-v%d", rows, dataVersion)), rows: rows}
	done := filepath.Join(d.dir, "complete")
	if _, err := os.Stat(done); err == nil {
		return d, prepareNDJSON(ctx, d, duck)
	}
	say("generating %d rows in %s\n", rows, d.dir)
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return d, err
	}
	if err := writeCSV(d.csv(), rows); err != nil {
		return d, err
	}
	// 1000003 and 2147483647 are primes: user_id * odd % prime spreads the keys
	// evenly, and is unique for user_id below the prime.
	statements := []string{
		fmt.Sprintf(`COPY (SELECT *,
			TIMESTAMP '2024-01-01' + to_seconds(user_id * 48271 %% 2147483647) AS ts,
			user_id * 2654435761 %% 1000003 %% 10000 AS k10k,
			user_id * 2654435761 %% 2147483647 %% %d AS k1m,
			'segment-' || (user_id * 7919 %% 1000003 %% 8) AS s8,
			'user-' || lpad((user_id * 2654435761 %% 1000003 %% 100000)::varchar, 8, '0') AS s
			FROM read_csv(%s)) TO %s (FORMAT parquet)`, d.dimRows(), quote(d.csv()), quote(d.parquet())),
		fmt.Sprintf(`COPY (SELECT (i * 48271 %% %[1]d)::bigint AS id, (i %% 1000) / 8.0::double AS v FROM range(%[1]d) t(i)) TO %[2]s (FORMAT parquet)`,
			d.dimRows(), quote(d.dim())),
	}
	for _, s := range statements {
		if _, err := duck.rows(ctx, s); err != nil {
			return d, err
		}
	}
	if err := prepareNDJSON(ctx, d, duck); err != nil {
		return d, err
	}
	return d, os.WriteFile(done, nil, 0o644)
}

// prepareNDJSON writes the file of objects where it is not in the cache yet.
func prepareNDJSON(ctx context.Context, d dataset, duck *duckDB) error {
	if _, err := os.Stat(d.ndjson()); err == nil {
		return nil
	}
	tmp := d.ndjson() + ".tmp"
	_, err := duck.rows(ctx, fmt.Sprintf("COPY (SELECT g1, g2, g3, g4, g5, g6, g7, g8, g9, g10, user_id, k, ts, s8, s FROM %s WHERE user_id <= %d) TO %s (FORMAT json)",
		quote(d.parquet()), d.dimRows(), quote(tmp)))
	if err != nil {
		return err
	}
	return os.Rename(tmp, d.ndjson())
}

// splitmix64 is a bijective mixer: the data's only source of randomness.
func splitmix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func writeCSV(path string, rows int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := w.WriteString("g1,g2,g3,g4,g5,g6,g7,g8,g9,g10,label,user_id,k\n"); err != nil {
		return err
	}
	var line []byte
	for i := range uint64(rows) {
		line = line[:0]
		for c := range uint64(10) {
			x := splitmix64(i*16 + c)
			line = strconv.AppendFloat(line, float64(x%20001)/10000-1, 'f', 4, 64)
			line = append(line, ',')
		}
		x := splitmix64(i*16 + 10)
		line = strconv.AppendUint(line, x&1, 10)
		line = append(line, ',')
		line = strconv.AppendUint(line, i+1, 10)
		line = append(line, ',')
		line = strconv.AppendUint(line, x>>1%10, 10)
		line = append(line, '\n')
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return w.Flush()
}
