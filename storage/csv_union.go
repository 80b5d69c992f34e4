package storage

import (
	"context"
	"slices"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/vector"
)

// byName plans files whose columns differ: each is looked at by itself, under the
// syntax of the first, and the types are those that fit all. A split has the
// columns of its file.
func (p *csvPlanner) byName(ctx context.Context, paths []string) (*CSVPlan, error) {
	if p.cfg.Columns != nil {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "columns cannot be declared with union_by_name").
			WithHint("The types option overrides the types of some columns.")
	}
	out := &CSVPlan{Options: p.opts}
	cfg := *p.cfg
	cfg.Types = nil
	var names []string
	guesses := map[string]*guess{}
	files := make([][]string, len(paths))
	firsts := make([]int, len(paths)) // index of the file's first split
	base := int64(0)
	for i, path := range paths {
		if err := ctx.Err(); err != nil {
			return nil, pgerr.From(err)
		}
		f := &csvPlanner{cfg: &cfg, opts: p.opts, d: p.d, null: p.null, date: p.date, stamp: p.stamp}
		if err := f.open(path, true); err != nil {
			return nil, err
		}
		if i == 0 {
			p.d = f.d
			cfg.Delimiter, cfg.Header = string(rune(f.d.delim)), &f.header
		}
		one, err := f.plan(ctx)
		if err != nil {
			return nil, err
		}
		for k, name := range f.names {
			g := guesses[name]
			if g == nil {
				g = &guess{}
				guesses[name] = g
				names = append(names, name)
			}
			g.merge(&f.guesses[k])
		}
		files[i], firsts[i] = f.names, len(out.Splits)
		for _, s := range one.Splits {
			s.RowBase += base
			out.Splits = append(out.Splits, s)
			base = max(base, s.RowBase+max(s.Rows, s.Length*b2i(s.Rows == 0)))
		}
		out.RowsEstimate += one.RowsEstimate
	}
	p.opts.ForceNull = nil
	all := &csvPlanner{cfg: p.cfg, opts: p.opts, names: names, files: []*csvFile{{path: paths[0]}}}
	for _, name := range names {
		all.guesses = append(all.guesses, *guesses[name])
	}
	if err := all.settle(out); err != nil {
		return nil, err
	}
	for i, have := range files {
		var schema []vector.Field
		for _, name := range have {
			schema = append(schema, out.Schema[slices.Index(names, name)])
		}
		end := len(out.Splits)
		if i+1 < len(files) {
			end = firsts[i+1]
		}
		fields := ToProtoFields(schema)
		for _, s := range out.Splits[firsts[i]:end] {
			s.FileSchema = fields
		}
	}
	return out, nil
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
