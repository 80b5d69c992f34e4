package conformance

import (
	_ "embed" // the source of the functions
	"os"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed decls/decls.go
var declarations string

//go:embed decls/decls.py
var pythonDeclarations string

// Source is the functions of the suite as a Go program: what udf.Build takes, and
// CREATE FUNCTION … LANGUAGE go.
func Source() string {
	_, code, _ := strings.Cut(declarations, "package decls\n")
	return "package main\n" + code + `
func main() {
	udf.Main(append(All(), udf.Name("conformance"), udf.Version("1"))...)
}
`
}

// SourceDir writes Source to a directory that udf.Build can be given.
func SourceDir(t testing.TB) string {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(Source()), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// PythonDir writes the functions in Python to a directory that udf.BuildPython can be
// given. They have their types in decorators. style is rows, numpy, pandas or arrow: how
// vector_X and whole_X get their columns.
func PythonDir(t testing.TB, style string) string {
	dir := t.TempDir()
	code := strings.Replace(pythonDeclarations, `STYLE = "rows"`, `STYLE = "`+style+`"`, 1)
	if err := os.WriteFile(filepath.Join(dir, "conformance.py"), []byte(code), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
