// Package layout checks that the folders are the architecture: that imports
// only point down the list in docs/ARCHITECTURE.md.
package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/volleydb/volley/"

// layers are the packages from the top down. A package may import those after
// it. A folder's subpackages belong to its layer unless they are listed.
var layers = []string{
	"cmd/volley",
	"volleytest",
	".", // package volley: the engine in other programs
	"pgwire",
	"coordinator",
	"coordinator/cluster",
	"coordinator/scheduler",
	"worker",
	"planner",
	"physical",
	"exchange",
	"udf",
	"catalog/pgcatalog",
	"function",
	"catalog",
	"storage",
	"parser",
	"vector",
	"types",
	"proto",
	"pgerr",
}

// free packages are outside the order: tests, examples (user code) and the SDK,
// which imports the standard library only.
var free = []string{"test/", "examples", "bench/"}

type pkg struct {
	ImportPath string
	Imports    []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var pkgs []pkg
	d := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// relative is a package's folder, "." for the module's own.
func relative(path string) string {
	if path+"/" == module {
		return "."
	}
	return strings.TrimPrefix(path, module)
}

// layer returns the number of a package's layer: its longest prefix in layers.
func layer(path string) int {
	best, n := -1, -1
	for i, l := range layers {
		if (path == l || strings.HasPrefix(path, l+"/")) && len(l) > n {
			best, n = i, len(l)
		}
	}
	return best
}

func TestImportsPointDown(t *testing.T) {
	seen := 0
	for _, p := range list(t) {
		path := relative(p.ImportPath)
		if isFree(path) {
			continue
		}
		from := layer(path)
		if from < 0 {
			t.Errorf("package %s is in no layer: add its folder to the architecture first", path)
			continue
		}
		seen++
		for _, im := range p.Imports {
			if !strings.HasPrefix(im+"/", module) {
				continue
			}
			target := relative(im)
			if target == "examples" && path == "cmd/volley" {
				continue // volley demo builds one
			}
			to := layer(target)
			if to < 0 || isFree(target) {
				t.Errorf("%s imports %s, which is in no layer below it", path, im)
			} else if to < from {
				t.Errorf("%s imports %s, which is above it", path, im)
			}
		}
	}
	if seen < len(layers)-3 {
		t.Errorf("only %d packages seen", seen)
	}
}

func isFree(path string) bool {
	for _, f := range free {
		if path == strings.TrimSuffix(f, "/") || strings.HasPrefix(path, f) {
			return true
		}
	}
	return false
}

// The SDK travels inside the binary and is compiled into every plugin, so it
// stays with the standard library.
func TestSDKIsStandardLibraryOnly(t *testing.T) {
	for _, p := range list(t) {
		if !strings.HasPrefix(p.ImportPath, module+"udf/sdk") {
			continue
		}
		for _, im := range p.Imports {
			if strings.Contains(strings.SplitN(im, "/", 2)[0], ".") && !strings.HasPrefix(im, module+"udf/sdk") {
				t.Errorf("%s imports %s", p.ImportPath, im)
			}
		}
	}
}
