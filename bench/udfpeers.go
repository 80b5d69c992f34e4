package main

import (
	"bytes"
	"context"
	"database/sql/driver"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/volleydb/volley/bench/udffuncs"
)

// goFunction is a function in Go as DuckDB's driver wants it.
type goFunction struct {
	in, out duckdb.Type
	args    int
	run     duckdb.RowExecutorFn
}

func (f *goFunction) Config() duckdb.ScalarFuncConfig {
	in, err := duckdb.NewTypeInfo(f.in)
	if err != nil {
		panic(err)
	}
	out, err := duckdb.NewTypeInfo(f.out)
	if err != nil {
		panic(err)
	}
	c := duckdb.ScalarFuncConfig{ResultTypeInfo: out}
	for range f.args {
		c.InputTypeInfos = append(c.InputTypeInfos, in)
	}
	return c
}

func (f *goFunction) Executor() duckdb.ScalarFuncExecutor {
	return duckdb.ScalarFuncExecutor{RowExecutor: f.run}
}

// registerDuckDB makes the functions in DuckDB, which calls them row by row.
func registerDuckDB(d *duckDB) error {
	fs := map[string]*goFunction{
		"lin_go": {duckdb.TYPE_DOUBLE, duckdb.TYPE_DOUBLE, 1, func(v []driver.Value) (any, error) { return udffuncs.Lin(v[0].(float64)), nil }},
		"score_go": {duckdb.TYPE_DOUBLE, duckdb.TYPE_DOUBLE, 8, func(v []driver.Value) (any, error) {
			return udffuncs.Score(v[0].(float64), v[1].(float64), v[2].(float64), v[3].(float64), v[4].(float64), v[5].(float64), v[6].(float64), v[7].(float64)), nil
		}},
		"norm_go": {duckdb.TYPE_VARCHAR, duckdb.TYPE_VARCHAR, 1, func(v []driver.Value) (any, error) { return udffuncs.Norm(v[0].(string)), nil }},
	}
	for name, f := range fs {
		if err := duckdb.RegisterScalarUDF(d.conn, name, f); err != nil {
			return fmt.Errorf("DuckDB: %s: %w", name, err)
		}
	}
	return nil
}

// pythonHas tells whether an interpreter has modules.
func pythonHas(ctx context.Context, path, modules string) error {
	return exec.CommandContext(ctx, path, "-c", "import "+modules).Run()
}

// runSpark runs the queries on Spark in one JVM and returns what the script prints.
func (b *udfBench) runSpark(ctx context.Context, python string) ([]byte, error) {
	var s strings.Builder
	fmt.Fprintf(&s, `import json, sys, time
%sfrom pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf, length, sum as total
spark = (SparkSession.builder.master("local[%d]").config("spark.ui.enabled", "false").config("spark.driver.memory", "%dm")
    .config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    .config("spark.sql.execution.arrow.maxRecordsPerBatch", "%d").config("spark.local.dir", sys.argv[2]).getOrCreate())
spark.sparkContext.setLogLevel("ERROR")
times, answers = {}, {}
def run(name, make):
    times[name] = []
    for rep in range(%d):
        q = make()  # the same one would find its shuffle done
        start = time.perf_counter()
        answers[name] = q.collect()[0][0]
        if rep > 0:
            times[name].append(time.perf_counter() - start)
`, pythonHead, b.c.threads, min(b.c.memory>>20, 4096), batchRows, b.c.reps+1)
	for i := range udfCases {
		c := &udfCases[i]
		ret, agg := "double", "total(%s)"
		if c.ret == "text" {
			ret, agg = "string", "total(length(%s))"
		}
		cols := `"` + strings.ReplaceAll(c.args, ", ", `", "`) + `"`
		fmt.Fprintf(&s, "@pandas_udf(%q)\n%srun(%q, lambda: spark.read.parquet(sys.argv[1]).select(%s))\n", ret, c.python, c.name, fmt.Sprintf(agg, "f("+cols+")"))
	}
	s.WriteString(`print(json.dumps({"times": times, "answers": answers, "version": spark.version}))` + "\nspark.stop()\n")
	file := filepath.Join(b.tmp, "spark.py")
	if err := os.WriteFile(file, []byte(s.String()), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, python, file, b.file, b.tmp)
	cmd.Env = append(os.Environ(), "PYSPARK_PYTHON="+python, "PYSPARK_DRIVER_PYTHON="+python, "PYARROW_IGNORE_TIMEZONE=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t := errs.Bytes()
		return nil, fmt.Errorf("%w: %s", err, t[max(0, len(t)-2000):])
	}
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	return lines[len(lines)-1], nil
}
