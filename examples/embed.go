// Package examples holds plugins of functions: a directory each, with a README
// and a test. Their sources travel in the volley binary, for volley demo.
package examples

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed score/*.go mean/*.go normalize/*.go
var files embed.FS

// Names are the examples.
var Names = []string{"mean", "normalize", "score"}

// Write writes the source of an example, without its tests, into dir.
func Write(name, dir string) error {
	return fs.WalkDir(files, name, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		data, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, filepath.Base(path)), data, 0o644)
	})
}
