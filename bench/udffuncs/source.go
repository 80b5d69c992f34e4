// Package udffuncs has the functions of the benchmark of functions: linked into the
// benchmark for the plain loops, function servers and functions in process, and as
// source for plugins.
package udffuncs

import (
	_ "embed" // the source of the functions
	"os"
	"path/filepath"
	"strings"
)

//go:embed funcs.go
var source string

// WriteSource writes the functions to dir as a plugin.
func WriteSource(dir string) error {
	_, code, _ := strings.Cut(source, "package udffuncs\n")
	return os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n"+code+`
func main() { udf.Main(append(Decls(), udf.Name("bench"), udf.Version("1"))...) }
`), 0o644)
}

// NormSource is Norm and what it needs.
func NormSource() string {
	_, code, _ := strings.Cut(source, "// lower is")
	code, _, _ = strings.Cut(code, "// NormVector is")
	return "// lower is" + code
}
