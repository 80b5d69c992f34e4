package udf

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/volleydb/volley/pgerr"
	sdk "github.com/volleydb/volley/udf/sdk"
	"github.com/volleydb/volley/udf/sdk/wire"
	"github.com/volleydb/volley/vector"
)

// Functions of the program itself: declared with the SDK, linked into the program
// that embeds the engine, and called without a hop. Scalar functions work on the
// engine's vectors (see localCalls); all other kinds speak docs/udf/protocol.md over a pipe
// in memory, so that they are the same code as elsewhere.
//
// What a process of its own gives is missing here, and documented in
// docs/udf/embedding.md: a function that never returns cannot be ended, memory is
// not limited, a crash of the runtime (a deadlock of all goroutines, an endless
// recursion, concurrent map writes) ends the whole program.

// inProcessFile is the file of an artifact of RuntimeInProcess: what identifies the
// program that has the functions.
const inProcessFile = "bin/program"

// linkedPlugin is a set of functions of this program.
type linkedPlugin struct {
	server   *sdk.Server
	manifest *Manifest
	label    string
}

// Link makes functions of this program known to the host and returns the digest of
// the artifact that stands for them in the store and in plans: the same declarations
// of the same build, or of the same declared version (see sdk.Version), have the same
// digest. Other hosts have the artifact but not the functions, and refuse them.
func (h *Host) Link(ctx context.Context, decls ...sdk.Decl) (digest string, m *Manifest, err error) {
	server, err := newLinkedServer(decls)
	if err != nil {
		return "", nil, err
	}
	said := server.Manifest()
	m = &Manifest{ABI: said.ABI, Name: said.Name, Version: said.Version, Toolchain: said.Toolchain, Runtime: RuntimeInProcess, Functions: said.Functions}
	if m.Name == "" {
		m.Name = programName()
	}
	build := m.Version
	if build == "" {
		build = programBuild()
	}
	data, err := json.Marshal(map[string]string{"program": programName(), "build": build})
	if err != nil {
		return "", nil, pgerr.Wrap(err, pgerr.InternalError, "manifest")
	}
	sum := sha256.Sum256(data)
	m.Platforms = []Platform{{anyPlatform, anyPlatform, inProcessFile, hex.EncodeToString(sum[:]), int64(len(data))}}
	var tar bytes.Buffer
	if err := writeBundle(&tar, m, map[string][]byte{inProcessFile: data}); err != nil {
		return "", nil, pgerr.Wrap(err, pgerr.IOError, "could not write an artifact")
	}
	if digest, err = h.cfg.Store.Put(ctx, &tar); err != nil {
		return "", nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return "", nil, errClosed()
	}
	if h.linked == nil {
		h.linked = map[string]*linkedPlugin{}
	}
	if h.linked[digest] == nil { // else its Init hooks ran, and streams use it
		h.linked[digest] = &linkedPlugin{server: server, manifest: m, label: m.Name + "@" + shortDigest(digest)}
	}
	return digest, m, nil
}

// newLinkedServer is sdk.NewServer, whose panics about declarations are errors.
func newLinkedServer(decls []sdk.Decl) (s *sdk.Server, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = pgerr.New(pgerr.InvalidFunctionDefinition, "%s", strings.TrimPrefix(fmt.Sprint(v), "udf: "))
		}
	}()
	return sdk.NewServer(decls...), nil
}

// HasLinked reports whether the host has any functions of this program, Linked
// whether those of an artifact are.
func (h *Host) HasLinked() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.linked) > 0
}

// Linked is true for the digests that Link returned.
func (h *Host) Linked(digest string) bool { return h.linkedPlugin(digest) != nil }

// linkedPlugin returns functions of this program, nil if the digest is another's.
func (h *Host) linkedPlugin(digest string) *linkedPlugin {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.linked[digest]
}

// Has reports whether the host can run an artifact: all that there are, but for
// those that are part of a program, which must be this one.
func (h *Host) Has(m *Manifest, digest string) error {
	if m.RuntimeName() != RuntimeInProcess || h.linkedPlugin(digest) != nil {
		return nil
	}
	where := "This server"
	if h.cfg.Worker != "" {
		where = "Worker " + h.cfg.Worker
	}
	return pgerr.New(pgerr.FeatureNotSupported, "the functions of %s@%s are part of the program that registered them", m.Name, shortDigest(digest)).
		WithDetail("%s is not that program, or another build of it.", where).
		WithHint("Run the statement in the program that has them, without remote workers, or build them as a plugin: volley udf build.")
}

// launchLinked connects to functions of this program.
func (h *Host) launchLinked(_ context.Context, r LaunchRequest, digest string) (Launch, error) {
	if err := h.Has(r.Manifest, digest); err != nil {
		return Launch{}, err
	}
	p := h.linkedPlugin(digest)
	ours, theirs := memoryPipe()
	h.local.Add(1)
	go func() {
		defer h.local.Done()
		// It returns when the calls under way have: the host closes the connection of
		// one that does not end, and goes on without it.
		_ = p.server.ServeConn(theirs)
		theirs.Close()
	}()
	return Launch{Conn: ours}, nil
}

// localGrace is how long Close waits for functions of this program to return.
const localGrace = time.Second

// waitLocal waits until no function of this program runs for the host, or until it
// is clear that one does not return.
func (h *Host) waitLocal() {
	done := make(chan struct{})
	go func() {
		h.local.Wait()
		close(done)
	}()
	t := time.NewTimer(localGrace)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
		h.log.Warn("a function of this program does not return: it is left behind")
	}
}

// openLocal opens the stream on a function of this program.
func (s *ScalarStream) openLocal(ctx context.Context, p *linkedPlugin) error {
	if err := ctx.Err(); err != nil {
		return pgerr.From(context.Cause(ctx))
	}
	name := displayName(s.ref)
	f, ok := p.manifest.Function(s.ref.GetSymbol())
	if !ok {
		return pgerr.New(pgerr.UndefinedFunction, "plugin %s has no function %q", p.label, s.ref.GetSymbol())
	}
	l := &localCalls{label: p.label, name: name, returns: s.returns, requests: make(chan localRequest, MaxSubmitted), done: make(chan struct{})}
	var args []string
	for _, a := range s.ref.GetArgs() {
		t := typeFromProto(a)
		n, ok := sdkType(t, false)
		if !ok {
			return errType(t)
		}
		args, l.args = append(args, n), append(l.args, t)
	}
	out, ok := sdkType(s.returns, true)
	if !ok {
		return errType(s.returns)
	}
	fail := func(code string, err error) error {
		m := &wire.ErrorMsg{Code: code, Message: err.Error(), Row: -1, Group: -1}
		var e *sdk.Error
		if errors.As(err, &e) {
			m.Detail, m.Hint = e.Detail, e.Hint
			if len(e.Code) == 5 {
				m.Code = e.Code
			}
		}
		return newCallError(name, p.label, 0, m)
	}
	var err error
	if l.fn, err = p.server.LocalScalar(f.Name, args, out); err != nil {
		return fail(pgerr.ExternalRoutineInvocationError, fmt.Errorf("signature: %w", err))
	}
	if err := p.server.Init(); err != nil {
		return fail(pgerr.ExternalRoutineException, fmt.Errorf("init: %w", err))
	}
	s.local, s.notNull, s.label, s.query = l, notNull(s.ref, f), p.label, queryOf(ctx)
	s.names = s.names[:0]
	for _, a := range f.Args {
		s.names = append(s.names, a.Name)
	}
	s.failed = nil
	s.h.local.Add(1)
	go func() {
		defer s.h.local.Done()
		l.serve()
	}()
	return nil
}

func (s *ScalarStream) endLocal() {
	if s.local != nil {
		s.local.close()
		s.local = nil
	}
	s.endSide()
	for _, c := range s.queue {
		if c.local != nil { // to be submitted again
			c.local, c.sent = nil, c.out.at
		}
	}
}

func (s *ScalarStream) endSide() {
	if s.side != nil {
		s.side.close()
		s.side = nil
	}
}

// localFor is where a part of c, the oldest call, is computed: not behind batches that
// were submitted later, of which one may hang.
func (s *ScalarStream) localFor(ctx context.Context, c *scalarCall) (*localCalls, error) {
	for _, x := range s.queue {
		if x == c || x.local == nil || len(x.local.answer) > 0 {
			continue
		}
		if s.side == nil {
			l := s.local
			if err := s.openLocal(ctx, s.h.linkedPlugin(s.ref.GetDigest())); err != nil {
				return nil, err
			}
			s.side, s.local = s.local, l
		}
		return s.side, nil
	}
	return s.local, nil
}

// submitLocal asks for what was submitted, as far as that can be.
func (s *ScalarStream) submitLocal() {
	for _, c := range s.queue {
		if c.local != nil || c.sent > 0 || c.n == 0 || len(c.bad) > 0 || c.suspect != nil {
			continue
		}
		p, err := s.local.submit(c.args, c.n)
		if err != nil {
			return // Collect sees it, too
		}
		c.local, c.sent = p, c.n
	}
}

// localAhead is how much work a function of this program should have before it: some
// times what it takes to wake a thread.
const localAhead = 200 * time.Microsecond

func (s *ScalarStream) localWindow() int {
	c := s.queue[len(s.queue)-1]
	if s.turns != nil || s.nsRow == 0 || c.n == 0 {
		return 1
	}
	return int(min(max(float64(localAhead)/(s.nsRow*float64(c.n)), 1), maxWindow))
}

// runLocal computes c as a whole, or in the parts in which a failing row is searched.
func (s *ScalarStream) runLocal(ctx context.Context, c *scalarCall) (*vector.Vector, error) {
	timeout := time.Duration(s.ref.GetTimeoutMs()) * time.Millisecond
	for {
		if err := s.pad(c); err != nil {
			return nil, err
		}
		if c.out.at >= c.n {
			return c.out.v, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, pgerr.From(context.Cause(ctx))
		}
		from := c.out.at
		to := c.nextBad(from)
		if q := c.suspect; q != nil && from < q.hi {
			to = min(to, from+q.step(), q.hi)
		}
		p, l := c.local, s.local
		if c.local = nil; p == nil || from > 0 || to < c.n {
			args := c.args
			if from > 0 || to < c.n {
				args = sliceAll(c.args, from, to)
			}
			var err error
			if l, err = s.localFor(ctx, c); err != nil {
				return nil, err
			}
			if p, err = l.submit(args, to-from); err != nil {
				return nil, err
			}
		}
		v, nanos, err := l.collect(ctx, p, timeout)
		s.figures.Batches++
		s.figures.UserNanos += nanos
		c.sent = to
		if err != nil {
			switch {
			case !l.lost:
			case l == s.side:
				s.endSide()
			default:
				s.endLocal()
			}
			var ce *CallError
			if errors.As(err, &ce) {
				ce.begin, ce.end = from, to
				if ce.Row >= 0 && ce.Row < int64(to-from) {
					ce.setRow(ce.Row + int64(from))
				} else {
					ce.Row = -1
				}
			}
			return nil, err
		}
		s.figures.Rows += int64(to - from)
		s.nsRow = float64(nanos) / float64(to-from)
		if err := c.out.add(v); err != nil {
			return nil, err
		}
	}
}

// programName is the name of this program's file.
func programName() string {
	name := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	if name == "" || name == "." || name == "/" {
		return "program"
	}
	return name
}

// programBuild identifies this build of the program: the linker's build ID, which
// stands near the start of the file; without one the file's size and time.
var programBuild = sync.OnceValue(func() string {
	path, err := selfPath()
	if err != nil {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 64<<10)
	n, _ := io.ReadFull(f, head)
	for _, mark := range []string{"\xff Go build ID: \"", "Go\x00\x00"} {
		if _, after, ok := bytes.Cut(head[:n], []byte(mark)); ok {
			end := bytes.IndexFunc(after, func(r rune) bool {
				return !(r == '/' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
			})
			if end > 20 {
				return string(after[:end])
			}
		}
	}
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d@%d", info.Size(), info.ModTime().UnixNano())
})
