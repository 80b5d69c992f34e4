package udf

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// Declaration is what CREATE FUNCTION or CREATE AGGREGATE says of a function
// whose code does not know its SQL types.
type Declaration struct {
	Symbol  string
	Kind    function.Kind
	Names   []string // of the arguments, "" for those without
	Args    []types.Type
	Returns types.Type     // of scalar functions and aggregates
	Columns []vector.Field // of grouped maps and table functions
}

// pythonFile is where an artifact has its zip of Python files.
const pythonFile = "bin/any/python.zip"

// pythonSpec is volley.json in the zip.
type pythonSpec struct {
	Inline       bool     `json:"inline,omitempty"` // main.py is what stood in SQL
	Requirements []string `json:"requirements,omitempty"`
}

// PutPythonSource makes an artifact of source, which stands in a CREATE FUNCTION
// … LANGUAGE python: the body of the function, or a module that defines it. The
// code is loaded once to see that it can be. 42P13 for what is no such function,
// 58000 without Python, or for a module that is not installed.
func (s *Store) PutPythonSource(ctx context.Context, source string, d Declaration) (digest string, err error) {
	files := map[string][]byte{"main.py": []byte(source)}
	code, err := pythonZip(files, pythonSpec{Inline: true})
	if err != nil {
		return "", err
	}
	return s.putPython(ctx, code, &Manifest{Name: RuntimePython + "." + d.Symbol}, d)
}

// BindPython makes an artifact in which the function d.Symbol of the artifact
// from has the types that d declares: the one that volley udf build makes of
// Python files knows none. One that has been bound is returned as it is.
func (s *Store) BindPython(ctx context.Context, from string, d Declaration) (digest string, err error) {
	m, err := s.Manifest(from)
	if err != nil {
		return "", err
	}
	f, ok := m.Function(d.Symbol)
	if !ok {
		var names []string
		for _, g := range m.Functions {
			names = append(names, g.Name)
		}
		return "", pgerr.New(pgerr.UndefinedFunction, "artifact %q has no function %q", m.Name, d.Symbol).
			WithHint("It has %s.", strings.Join(names, ", "))
	}
	if f.Returns != nil || len(f.Columns) > 0 || f.Describes {
		return from, nil
	}
	dir, err := s.Ensure(ctx, from, nil)
	if err != nil {
		return "", err
	}
	code, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(pythonFile)))
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.IOError, "could not read artifact %s", from)
	}
	d.Symbol = f.Name
	return s.putPython(ctx, code, &Manifest{Name: m.Name + "." + f.Name, Version: m.Version}, d)
}

func (s *Store) putPython(ctx context.Context, code []byte, m *Manifest, d Declaration) (string, error) {
	q := pythonQuery{Symbol: d.Symbol}
	for i, t := range d.Args {
		n, ok := sdkType(t, false)
		if !ok {
			return "", errType(t)
		}
		q.Args = append(q.Args, ManifestParam{Name: d.Names[i], Type: n})
	}
	result := func(t types.Type) (string, error) {
		n, ok := sdkType(t, true)
		if !ok {
			return "", errType(t)
		}
		return n, nil
	}
	var err error
	switch d.Kind {
	case function.Scalar, function.Aggregate, function.Window:
		q.Kind = map[function.Kind]string{function.Scalar: kindScalar, function.Aggregate: kindAggregate, function.Window: kindWindow}[d.Kind]
		if d.Returns.ID == types.Invalid {
			return "", pgerr.New(pgerr.InvalidFunctionDefinition, "the result type of %s must be specified", d.Symbol).
				WithHint("Add RETURNS = and a type: Python does not know it.")
		}
		if q.Returns, err = result(d.Returns); err != nil {
			return "", err
		}
	case function.GroupedMap, function.Table:
		// Which of them it is the code says, as it does what its columns are where SQL
		// has RETURNS SETOF record.
		q.Kind = kindGroupedMap
		for _, c := range d.Columns {
			n, err := result(c.Type)
			if err != nil {
				return "", err
			}
			q.Columns = append(q.Columns, ManifestParam{Name: c.Name, Type: n})
		}
	default:
		return "", pgerr.New(pgerr.InternalError, "a function of kind %d", d.Kind)
	}
	a, err := describePython(ctx, code, q)
	if err != nil {
		return "", err
	}
	if a.Function == nil {
		return "", pgerr.New(pgerr.InternalError, "Python did not describe function %s", d.Symbol)
	}
	m.Functions = []ManifestFunction{*a.Function}
	var tar bytes.Buffer
	if err := writePython(&tar, m, code); err != nil {
		return "", err
	}
	return s.PutOwn(ctx, &tar)
}

// writePython writes an artifact of Python code.
func writePython(w io.Writer, m *Manifest, code []byte) error {
	sum := sha256.Sum256(code)
	m.ABI, m.Runtime, m.Toolchain = wire.ABI, RuntimePython, "python3"
	m.Platforms = []Platform{{anyPlatform, anyPlatform, pythonFile, hex.EncodeToString(sum[:]), int64(len(code))}}
	if err := writeBundle(w, m, map[string][]byte{pythonFile: code}); err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not write an artifact")
	}
	return nil
}

// pythonZip packs files: the same content gives the same bytes.
func pythonZip(files map[string][]byte, spec pythonSpec) ([]byte, error) {
	j, err := json.Marshal(spec)
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.InternalError, "could not pack Python files")
	}
	files["volley.json"] = j
	var names []string
	for n := range files {
		names = append(names, n)
	}
	sort.Strings(names)
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, n := range names {
		var f io.Writer
		if f, err = z.CreateHeader(&zip.FileHeader{Name: n, Method: zip.Deflate}); err == nil {
			_, err = f.Write(files[n])
		}
		if err != nil {
			break
		}
	}
	if cerr := z.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not pack Python files")
	}
	return out.Bytes(), nil
}

// IsPythonDir reports whether dir holds Python files and no Go files.
func IsPythonDir(dir string) bool {
	py, _ := filepath.Glob(filepath.Join(dir, "*.py"))
	goFiles, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	return len(py) > 0 && len(goFiles) == 0
}

// BuildPython makes an artifact of a directory of Python files, with its
// packages and what else lies beside them (models, tables), but without what
// begins with a dot, tests and caches. requirements.txt, if there is one, is
// checked where the functions run: nothing is installed. The code is loaded once
// to learn which functions it has; their types are CREATE FUNCTION's to say, unless
// decorators do.
func BuildPython(ctx context.Context, dir string, o BuildOptions) (*Artifact, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.UndefinedFile, "could not build a plugin")
	}
	files := map[string][]byte{}
	var spec pythonSpec
	size := 0
	err = fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		name := d.Name()
		skip := strings.HasPrefix(name, ".") || name == "__pycache__" || strings.HasPrefix(name, "test_") ||
			strings.HasSuffix(name, "_test.py") || strings.HasSuffix(name, ".md") || strings.HasSuffix(name, ".sql") || strings.HasSuffix(name, blobSuffix)
		switch {
		case skip && d.IsDir():
			return fs.SkipDir
		case skip || !d.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
		if err != nil {
			return err
		}
		if path == "requirements.txt" {
			for _, line := range strings.Split(string(data), "\n") {
				if line, _, _ = strings.Cut(line, "#"); strings.TrimSpace(line) != "" {
					spec.Requirements = append(spec.Requirements, strings.TrimSpace(line))
				}
			}
			return nil
		}
		if size += len(data); size > maxArtifact {
			return pgerr.New(pgerr.ProgramLimitExceeded, "the artifact is larger than %d bytes", int64(maxArtifact))
		}
		files[path] = data
		return nil
	})
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.UndefinedFile, "could not build a plugin")
	}
	code, err := pythonZip(files, spec)
	if err != nil {
		return nil, err
	}
	a, err := describePython(ctx, code, pythonQuery{List: true})
	if err != nil {
		return nil, err
	}
	if len(a.Functions) == 0 {
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "%s defines no functions", filepath.Base(dir))
	}
	m := &Manifest{Name: first(o.Name, filepath.Base(dir)), Version: o.Version, Functions: a.Functions}
	var tar bytes.Buffer
	if err := writePython(&tar, m, code); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(tar.Bytes())
	art := &Artifact{Name: m.Name, Digest: digestOf(sum[:]), Path: o.Output, Manifest: m}
	if art.Path == "" {
		art.Path = filepath.Join(first(o.TempDir, os.TempDir()), m.Name+"-"+hex.EncodeToString(sum[:6])+blobSuffix)
	}
	if err := os.WriteFile(art.Path, tar.Bytes(), 0o644); err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not write the artifact")
	}
	return art, nil
}
