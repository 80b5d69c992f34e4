package udf

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/volleydb/volley/pgerr"
)

// pythonFiles is the package volley that runs functions in Python: it goes with
// the server, not with artifacts, and speaks the same protocol as the server.
//
//go:embed python/volley/*.py
var pythonFiles embed.FS

// PythonEnv names the interpreter that runs functions in Python; without it that
// is the python3 on the PATH.
const PythonEnv = "VOLLEY_PYTHON"

// pythonOverhead is the resident memory of an interpreter that runs nothing.
const pythonOverhead = 24 << 20

func init() { RegisterRuntime(RuntimePython, launchPython) }

// pythonPaths are the interpreters found, by what names them. What is on the
// PATH can be a script that asks the environment which interpreter to start; a
// child has no environment, so the interpreter itself is asked for its file.
var pythonPaths sync.Map

// Python returns the file of the interpreter that runs functions, 58000 if there
// is none.
func Python(ctx context.Context) (string, error) {
	name := os.Getenv(PythonEnv)
	hint := "Install Python 3.8 or later, or name an interpreter in the environment variable " + PythonEnv + " of the server."
	if p, ok := pythonPaths.Load(name); ok {
		return p.(string), nil
	}
	file, err := exec.LookPath(first(name, "python3"))
	if err != nil {
		return "", pgerr.New(systemError, "there is no Python to run functions with: %v", err).WithHint("%s", hint)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, file, "-I", "-c", "import sys; print(sys.executable if sys.version_info >= (3, 8) else '')")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", pgerr.New(systemError, "could not start Python: %s: %v", file, err).WithHint("%s", hint)
	}
	path := strings.TrimSpace(string(out))
	if path == "" {
		return "", pgerr.New(systemError, "%s is older than Python 3.8", file).WithHint("%s", hint)
	}
	pythonPaths.Store(name, path)
	return path, nil
}

// writeRunner writes the package volley into dir.
func writeRunner(dir string) error {
	sub, err := fs.Sub(pythonFiles, "python")
	if err == nil {
		err = os.CopyFS(dir, sub)
	}
	if err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not write Python's runner")
	}
	return nil
}

// pythonArgs start the runner in dir: -I keeps the environment and the current
// directory out of what can be imported.
func pythonArgs(dir string, more ...string) []string {
	boot := "import sys; sys.path.insert(0, sys.argv.pop(1)); from volley.runner import main; main()"
	return append([]string{"-I", "-B", "-c", boot, dir}, more...)
}

// pythonEnv is the environment of interpreters: libraries of numerical code start
// a thread per processor for every process otherwise.
func (r *LaunchRequest) pythonEnv() []string {
	return append(r.baseEnv(), "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "MALLOC_ARENA_MAX=2", "LC_ALL=C.UTF-8")
}

// launchPython runs the artifact's zip of Python files.
func launchPython(ctx context.Context, r LaunchRequest) (Launch, error) {
	python, err := Python(ctx)
	if err != nil {
		return Launch{}, err
	}
	dir := filepath.Join(r.Scratch, ".runner")
	if err := writeRunner(dir); err != nil {
		return Launch{}, err
	}
	env := append(r.pythonEnv(), "VOLLEY_UDF_MANIFEST="+filepath.Join(r.Dir, manifestName), "VOLLEY_UDF_CODE="+r.File)
	return Launch{Path: python, Args: pythonArgs(dir), Env: env, Overhead: pythonOverhead}, nil
}

// pythonQuery is what author.describe reads, pythonAnswer what it says.
type pythonQuery struct {
	Code    string          `json:"code"`
	List    bool            `json:"list,omitempty"`
	Symbol  string          `json:"symbol,omitempty"`
	Kind    string          `json:"kind,omitempty"`
	Args    []ManifestParam `json:"args,omitempty"`
	Returns string          `json:"returns,omitempty"`
	Columns []ManifestParam `json:"columns,omitempty"`
}

type pythonAnswer struct {
	Function  *ManifestFunction  `json:"function"`
	Functions []ManifestFunction `json:"functions"`
	Error     *struct {
		Code, Message, Detail, Hint string
	} `json:"error"`
}

// describeTimeout bounds the time in which a module's code has to have run.
const describeTimeout = time.Minute

// describePython loads the code of an artifact and asks it about its functions.
// The module's top level runs here, in a process of its own.
func describePython(ctx context.Context, code []byte, q pythonQuery) (*pythonAnswer, error) {
	python, err := Python(ctx)
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "volley-python-")
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not make a directory for Python")
	}
	defer os.RemoveAll(tmp)
	if err := writeRunner(filepath.Join(tmp, ".runner")); err != nil {
		return nil, err
	}
	q.Code = filepath.Join(tmp, "code.zip")
	if err := os.WriteFile(q.Code, code, 0o600); err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not write Python's code")
	}
	in, err := json.Marshal(q)
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.InternalError, "could not describe a function to Python")
	}
	limited, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	cmd := exec.CommandContext(limited, python, pythonArgs(filepath.Join(tmp, ".runner"), "--describe")...)
	cmd.Dir = tmp
	cmd.Env = (&LaunchRequest{Scratch: tmp}).pythonEnv()
	cmd.Stdin = bytes.NewReader(in)
	cmd.SysProcAttr = childAttr()
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &limitedWriter{w: &errs, n: 64 << 10}
	// The child ends with the thread that starts it, see childAttr.
	runtime.LockOSThread()
	err = cmd.Run()
	runtime.UnlockOSThread()
	var a pythonAnswer
	switch {
	case ctx.Err() != nil:
		return nil, pgerr.From(context.Cause(ctx))
	case limited.Err() != nil:
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "the code did not load within %s", describeTimeout)
	case err == nil:
		err = json.Unmarshal(out.Bytes(), &a)
	}
	if err != nil {
		return nil, pgerr.New(pgerr.InvalidFunctionDefinition, "the code ended Python while it was loaded: %v", err).
			WithDetail("%s", strings.TrimSpace(errs.String()))
	}
	if e := a.Error; e != nil {
		code := e.Code
		if code == pgerr.ExternalRoutineException { // raised by the module itself
			code = pgerr.InvalidFunctionDefinition
		}
		pe := pgerr.New(code, "%s", e.Message)
		pe.Detail, pe.Hint = e.Detail, e.Hint
		return nil, pe
	}
	return &a, nil
}

// limitedWriter keeps the first n bytes.
type limitedWriter struct {
	w *bytes.Buffer
	n int
}

func (l *limitedWriter) Write(b []byte) (int, error) {
	l.w.Write(b[:min(len(b), max(0, l.n-l.w.Len()))])
	return len(b), nil
}
