package coordinator

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/volleydb/volley/catalog"
	"github.com/volleydb/volley/catalog/pgcatalog"
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/udf/registry"
	"github.com/volleydb/volley/worker"
)

// keepArtifact keeps an artifact from being collected until what the statement
// makes of it is committed, or the statement has failed.
func (x *statement) keepArtifact(digest string) {
	x.hold(x.s.c.cfg.Artifacts.Pin(digest))
}

// hold runs release when the statement ends, or the transaction block it is in.
func (x *statement) hold(release func()) {
	if x.s.tx != nil {
		x.s.held = append(x.s.held, release)
		return
	}
	x.held = append(x.held, release)
}

func releaseAll(held []func()) {
	for _, f := range held {
		f()
	}
}

// pinPlan pins the artifacts of a plan.
func (c *Coordinator) pinPlan(p *proto.Plan) (release func()) {
	if c.cfg.Artifacts == nil {
		return func() {}
	}
	var pins []func()
	for _, st := range p.Stages {
		for _, d := range worker.Digests(st) {
			pins = append(pins, c.cfg.Artifacts.Pin(d))
		}
	}
	return func() { releaseAll(pins) }
}

// pull fetches an artifact that a definition names in a registry. The server goes
// to any address with its own credentials: that is for superusers.
func (x *statement) pull(ctx context.Context, ref string) (digest string, err error) {
	if !x.superuser() {
		return "", pgerr.New(pgerr.InsufficientPrivilege, "permission denied to fetch artifacts from registries").
			WithHint("A superuser can, here or with volley udf pull; then name the artifact.")
	}
	digest, err = registry.Pull(ctx, x.s.c.cfg.Artifacts, ref, registry.Options{})
	if err != nil {
		return "", err
	}
	m, err := x.s.c.cfg.Artifacts.Manifest(digest)
	if err != nil {
		return "", err
	}
	x.s.notice("NOTICE", "00000", ref+" is artifact "+m.Name+"@"+digest, "")
	return digest, nil
}

// references gives the artifacts that functions and extensions need, whenever it is
// called: in what is committed, and in what running statements and open blocks
// began with; and those that receipts name by now, for a query that runs later uses
// its artifacts later. What open blocks have made themselves is pinned.
func (c *Coordinator) references() func() (map[string]bool, error) {
	receipts := c.PinnedArtifacts()
	return func() (map[string]bool, error) {
		out := maps.Clone(receipts)
		for _, s := range c.cfg.Store.Pinned() {
			for d := range users(s) {
				out[d] = true
			}
		}
		return out, nil
	}
}

// users are what needs an artifact, by digest, as people read it.
func users(s *catalog.Snapshot) map[string][]string {
	out := map[string][]string{}
	for _, f := range s.AllFunctions() {
		for _, v := range s.FunctionVersions(f.OID) {
			if v.Digest != "" {
				out[v.Digest] = append(out[v.Digest], "function "+v.Schema+"."+v.Signature()+" version "+strconv.Itoa(v.Version))
			}
		}
	}
	for _, e := range s.Extensions() {
		out[e.Digest] = append(out[e.Digest], strings.TrimSpace("extension "+e.Name+" "+e.Version))
	}
	return out
}

// collected is what volley.gc() says.
type collected struct {
	Artifacts int           `json:"artifacts"`
	Caches    int           `json:"caches"`
	Leftovers int           `json:"leftovers"`
	Bytes     int64         `json:"bytes"`
	Removed   []udf.Removed `json:"removed"`
}

// gc removes the artifacts that nothing needs and that have not been used for
// grace, and forgets that they were uploaded.
func (c *Coordinator) gc(ctx context.Context, grace time.Duration) (*collected, error) {
	c.gcMu.Lock()
	defer c.gcMu.Unlock()
	removed, err := c.cfg.Artifacts.Collect(grace, c.references())
	out := &collected{Removed: removed}
	if out.Removed == nil {
		out.Removed = []udf.Removed{}
	}
	for _, r := range removed {
		out.Bytes += r.Bytes
		switch r.Kind {
		case "artifact":
			out.Artifacts++
		case "cache":
			out.Caches++
		default:
			out.Leftovers++
		}
	}
	if len(removed) > 0 {
		c.cfg.Log.Info("artifacts collected", "artifacts", out.Artifacts, "caches", out.Caches, "leftovers", out.Leftovers, "bytes", out.Bytes)
	}
	if err != nil || out.Artifacts == 0 {
		return out, err
	}
	return out, c.cfg.Store.Update(ctx, func(tx *catalog.Tx) error {
		for _, r := range removed {
			if r.Kind != "artifact" || tx.Snapshot().Artifact(r.Digest) == nil {
				continue
			}
			// One that was uploaded again meanwhile is there again, and its row stays.
			if c.cfg.Artifacts.Has(r.Digest) {
				continue
			}
			if err := tx.DropArtifact(r.Digest); err != nil {
				return err
			}
		}
		return nil
	})
}

// collect is SELECT volley.gc().
func (x *statement) collect(ctx context.Context) (string, error) {
	if !x.superuser() {
		return "", pgerr.New(pgerr.InsufficientPrivilege, "permission denied for function gc").WithHint("Must be superuser to remove artifacts.")
	}
	if x.s.c.cfg.Artifacts == nil {
		return "", pgerr.New(pgerr.FeatureNotSupported, "this server has no artifacts")
	}
	out, err := x.s.c.gc(ctx, time.Duration(x.s.settings.int("volley.gc_grace"))*time.Millisecond)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(out)
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.InternalError, "could not write what was removed")
	}
	return string(b), nil
}

// serverInt is an integer setting as a new session would have it.
func (c *Coordinator) serverInt(name string) int64 {
	if v, ok := c.cfg.Store.Snapshot().Settings()[name]; ok {
		if d := findSetting(name); d != nil {
			if n, err := d.normalise(v); err == nil {
				v = n
			}
		}
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return n
		}
	}
	return c.defaults.int(name)
}

// gcPoll is how often the setting of the interval is read.
const gcPoll = 10 * time.Second

// openArtifacts shows the list of trusted keys as a setting and begins to collect.
func (c *Coordinator) openArtifacts() {
	if c.cfg.Artifacts == nil {
		return
	}
	if k := c.cfg.Artifacts.Keys(); k != nil {
		const name = "volley.udf_trusted_keys"
		c.defaults.value[name], c.defaults.reset[name], c.defaults.source[name] = k.Path(), k.Path(), "command line"
	}
	var ctx context.Context
	ctx, c.stop = context.WithCancel(context.Background())
	c.wg.Add(1)
	go c.collectRegularly(ctx)
}

// collectRegularly runs gc at the start and every volley.gc_interval, while that is
// set, until ctx ends.
func (c *Coordinator) collectRegularly(ctx context.Context) {
	defer c.wg.Done()
	var last time.Time
	for {
		every := time.Duration(c.serverInt("volley.gc_interval")) * time.Millisecond
		if now := time.Now(); every > 0 && now.Sub(last) >= every {
			last = now
			if _, err := c.gc(ctx, time.Duration(c.serverInt("volley.gc_grace"))*time.Millisecond); err != nil && ctx.Err() == nil {
				c.cfg.Log.Warn("artifacts could not be collected", "err", err)
			}
		}
		wait := gcPoll
		if every > 0 {
			wait = min(wait, max(every-time.Since(last), time.Millisecond))
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// artifactRows are volley.artifacts: what the store has, and what was recorded of
// artifacts whose files it has not.
func (x *statement) artifactRows() []pgcatalog.Artifact {
	snap := x.snap
	needed := users(snap)
	var out []pgcatalog.Artifact
	seen := map[string]bool{}
	add := func(r pgcatalog.Artifact, m *udf.Manifest) {
		seen[r.Digest] = true
		r.ReferencedBy = needed[r.Digest]
		if a := snap.Artifact(r.Digest); a != nil {
			r.Owner, r.Created = a.Owner, a.Created
			if r.Name == "" {
				r.Name, r.Manifest, r.Size = a.Name, string(a.Manifest), a.Size
			}
		}
		if m != nil {
			r.Version, r.Runtime = m.Version, m.RuntimeName()
			for i := range m.Functions {
				r.Functions = append(r.Functions, udf.Signature(&m.Functions[i]))
			}
			for _, p := range m.Platforms {
				r.Platforms = append(r.Platforms, p.OS+"/"+p.Arch)
			}
		}
		out = append(out, r)
	}
	if x.s.c.cfg.Artifacts != nil {
		all, err := x.s.c.cfg.Artifacts.List()
		if err != nil {
			x.s.c.cfg.Log.Error("the artifact store cannot be read", "err", err)
		}
		for _, e := range all {
			mj, _ := json.Marshal(e.Manifest) // it was read from JSON
			add(pgcatalog.Artifact{Digest: e.Digest, Name: e.Manifest.Name, Size: e.Size, Created: e.Stored, LastUsed: e.Used,
				SignedBy: e.SignedBy, Manifest: string(mj)}, e.Manifest)
		}
	}
	for _, a := range snap.Artifacts() {
		if seen[a.Digest] {
			continue
		}
		var m *udf.Manifest
		if len(a.Manifest) > 0 {
			m = new(udf.Manifest)
			if json.Unmarshal(a.Manifest, m) != nil {
				m = nil
			}
		}
		add(pgcatalog.Artifact{Digest: a.Digest}, m)
	}
	slices.SortFunc(out, func(a, b pgcatalog.Artifact) int { return strings.Compare(a.Digest, b.Digest) })
	return out
}
