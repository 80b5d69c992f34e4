package storage

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/proto"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// JSONConfig is what the user says about a JSON file; the zero value leaves
// everything to a look at the files.
type JSONConfig struct {
	// Format is newline_delimited, array, unstructured (objects that may span
	// lines), or "" to find out.
	Format string
	// Columns declares the keys to read and their types; others are left out.
	Columns []vector.Field
	// Types overrides the inferred types of some columns.
	Types        map[string]types.Type
	AllText      bool
	IgnoreErrors bool
	UnknownError bool  // a key that is no column is an error
	SampleRows   int   // objects to infer columns and types from; 0 = 20480, -1 = all
	MaxObject    int   // bytes; 0 = 64 MB
	SplitBytes   int64 // size of a split; 0 = chosen by file size
}

// JSONPlan is the result of PlanJSON.
type JSONPlan struct {
	Schema       []vector.Field // all keys, in order of appearance
	Options      *proto.JsonOptions
	Splits       []*proto.Split
	RowsEstimate int64
}

// jsonGuess narrows the type of one key down by the values seen.
type jsonGuess struct {
	strings, numbers, bools, arrays, objects int
	text, num                                guess
	elem                                     *jsonGuess
}

func newJSONGuess() *jsonGuess {
	g := &jsonGuess{}
	// A string in quotes is no number, whatever it looks like.
	g.text.not[shapeBool], g.text.not[shapeInt], g.text.not[shapeFloat] = true, true, true
	return g
}

// typ is the type that holds all values: that of all of them if they are of one
// kind, text for scalars of several, jsonb for everything else.
func (g *jsonGuess) typ() types.Type {
	kinds := 0
	for _, n := range []int{g.strings, g.numbers, g.bools} {
		if n > 0 {
			kinds++
		}
	}
	switch {
	case g.arrays > 0 && g.objects == 0 && kinds == 0 && g.elem != nil && g.elem.arrays+g.elem.objects == 0:
		if t := g.elem.typ(); g.elem.strings+g.elem.numbers+g.elem.bools > 0 {
			return types.ArrayOf(t.ID)
		}
		return types.T(types.JSONB)
	case g.arrays+g.objects > 0:
		return types.T(types.JSONB)
	case kinds > 1:
		return types.T(types.Text)
	case g.bools > 0:
		return types.T(types.Bool)
	case g.numbers > 0:
		return g.num.typ()
	}
	return g.text.typ()
}

// jsonInfer gathers the keys of sampled objects.
type jsonInfer struct {
	tok     *jsonTok
	names   []string
	guesses map[string]*jsonGuess
	objects int
	bytes   int // of the sampled objects
	scratch []byte
}

func newJSONInfer() *jsonInfer {
	return &jsonInfer{tok: newJSONTok(nil, nil, false, false), guesses: map[string]*jsonGuess{}}
}

// object looks at the object at i, which the tokenizer has checked.
func (f *jsonInfer) object(i, end int) {
	t := f.tok
	f.objects++
	f.bytes += end - i + 1
	for i = t.space(i + 1); t.p[i] != '}'; {
		ke, kind := t.str(i + 1)
		key := t.p[i+1 : ke]
		if kind == jsonEscaped {
			var err error
			if f.scratch, err = jsonUnescape(f.scratch[:0], key); err != nil {
				f.scratch = append(f.scratch[:0], key...)
			}
			key = f.scratch
		}
		g := f.guesses[string(key)]
		if g == nil {
			g = newJSONGuess()
			f.guesses[string(key)] = g
			f.names = append(f.names, string(key))
		}
		i = t.space(t.space(ke+1) + 1)
		i = t.space(f.value(g, i))
		if t.p[i] == ',' {
			i = t.space(i + 1)
		}
	}
}

func (f *jsonInfer) value(g *jsonGuess, i int) (end int) {
	t := f.tok
	end, kind := t.value(i, 1)
	switch kind {
	case jsonString, jsonEscaped:
		g.strings++
		if kind == jsonString {
			g.text.add(t.p[i+1 : end-1])
		} else {
			g.text.add([]byte("?"))
		}
	case jsonInt, jsonNumber:
		g.numbers++
		g.num.add(t.p[i:end])
	case jsonTrue, jsonFalse:
		g.bools++
	case jsonNested:
		if t.p[i] == '{' {
			g.objects++
			break
		}
		g.arrays++
		if g.elem == nil {
			g.elem = newJSONGuess()
		}
		if g.objects > 0 || g.elem.arrays+g.elem.objects > 0 {
			break // jsonb already
		}
		for i = t.space(i + 1); t.p[i] != ']'; {
			if i = t.space(f.value(g.elem, i)); t.p[i] == ',' {
				i = t.space(i + 1)
			}
		}
	}
	return end
}

// take looks at up to limit objects of buf[:n], which must have nine bytes of
// room behind. Whatever is wrong or incomplete ends it: the scan tells about that.
func (f *jsonInfer) take(buf []byte, n, limit int, lines bool) {
	t := f.tok
	t.reset(buf, n)
	for i := 0; i < n && limit > 0; limit-- {
		for i = t.space(i); t.p[i] == '[' || t.p[i] == ',' || t.p[i] == ']'; {
			i = t.space(i + 1)
		}
		end := t.object(i, nil)
		if end < 0 {
			if !lines || i >= n {
				return
			}
			j := bytes.IndexByte(buf[i:n], '\n')
			if j < 0 {
				return
			}
			i += j + 1
			continue
		}
		f.object(i, end)
		i = end
	}
}

// PlanJSON looks at files of JSON objects and plans their scan: columns are the
// keys of all sampled objects in order of appearance. The sample is the beginning
// of every file and some places inside.
func PlanJSON(ctx context.Context, paths []string, o *JSONConfig) (*JSONPlan, error) {
	if o == nil {
		o = &JSONConfig{}
	}
	if len(paths) == 0 {
		return nil, pgerr.New(pgerr.UndefinedFile, "no files to read")
	}
	switch o.Format {
	case "", "newline_delimited", "array", "unstructured":
	default:
		return nil, pgerr.New(pgerr.InvalidParameterValue, "format \"%s\" of JSON is not known", o.Format).
			WithHint("There are newline_delimited, array, unstructured and auto.")
	}
	p := &jsonPlanner{cfg: o, infer: newJSONInfer(), whole: o.Format == "array" || o.Format == "unstructured"}
	p.out = &JSONPlan{Options: &proto.JsonOptions{IgnoreErrors: o.IgnoreErrors, MaxObject: int64(o.MaxObject), UnknownError: o.UnknownError}}
	for _, path := range paths {
		if err := ctx.Err(); err != nil {
			return nil, pgerr.From(err)
		}
		if err := p.look(path); err != nil {
			return nil, err
		}
	}
	p.out.Options.Whole = p.whole
	base := int64(0)
	for i := range p.files {
		if err := p.cut(&p.files[i], base); err != nil {
			return nil, err
		}
		base += p.files[i].size
	}
	return p.out, p.settle(paths[0])
}

type jsonFile struct {
	path        string
	size, mtime int64
}

type jsonPlanner struct {
	cfg   *JSONConfig
	infer *jsonInfer
	out   *JSONPlan
	files []jsonFile
	whole bool
	total int64
}

// look opens a file, finds its format and samples its beginning.
func (p *jsonPlanner) look(path string) error {
	f, err := openFile(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not stat file \"%s\"", path)
	}
	if !st.Mode().IsRegular() {
		return pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a regular file", path)
	}
	j := jsonFile{path: path, size: st.Size(), mtime: st.ModTime().UnixNano()}
	p.files = append(p.files, j)
	p.total += j.size
	n := min(j.size, sampleBytes)
	if p.cfg.SampleRows < 0 {
		n = j.size
	}
	if p.cfg.SampleRows < 0 && n > 1<<30 {
		return pgerr.New(pgerr.ProgramLimitExceeded, "file \"%s\" is too long to be sampled as a whole", path).
			WithHint("Declare the columns, or give a sample_size.")
	}
	head := make([]byte, n+16)
	if err := readFull(f, head[:n], 0); err != nil {
		return err
	}
	if err := checkPlainText(path, head[:n]); err != nil {
		if pe := pgerr.From(err); pe.Code == pgerr.FeatureNotSupported {
			pe.Message = strings.ReplaceAll(pe.Message, "read_csv", "read_json")
		}
		return err
	}
	if j.size == n && n > 0 && head[n-1] != '\n' {
		head[n] = '\n'
		n++
	}
	if bytes.HasPrefix(head, byteOrderMark) {
		copy(head, "   ")
	}
	if p.cfg.Format == "" {
		t := p.infer.tok
		t.reset(head, int(n))
		i := t.space(0)
		end := -1
		if head[i] == '{' {
			end = t.object(i, nil)
		}
		switch {
		case head[i] == '[':
			p.whole = true
		case end >= 0 && bytes.IndexByte(head[i:end], '\n') >= 0:
			p.whole = true
		}
	}
	limit := p.sampleRows()
	if k := len(p.files); k > 1 {
		limit = max(limit/k, 500)
	}
	p.infer.take(head, int(n), limit, !p.whole)
	return nil
}

func (p *jsonPlanner) sampleRows() int {
	switch n := p.cfg.SampleRows; {
	case n < 0:
		return 1 << 60
	case n == 0:
		return defaultSample
	default:
		return n
	}
}

// cut makes the splits of a file, which begin behind newlines. Ordinals of rows
// are offsets: unique and ascending, without a pass over the file.
func (p *jsonPlanner) cut(j *jsonFile, base int64) error {
	add := func(from, to int64) {
		p.out.Splits = append(p.out.Splits, &proto.Split{Path: j.path, Offset: from, Length: to - from, RowBase: base + from,
			Size: j.size, MtimeNs: j.mtime, Last: to == j.size})
	}
	if j.size == 0 {
		return nil
	}
	splitBytes := p.cfg.SplitBytes
	if splitBytes <= 0 {
		splitBytes = min(max(p.total/64, 4<<20), 32<<20)
	}
	if p.whole || j.size <= splitBytes {
		add(0, j.size)
		return nil
	}
	f, err := openFile(j.path)
	if err != nil {
		return err
	}
	defer f.Close()
	from, buf := int64(0), make([]byte, 256<<10+16)
	places := max(1, j.size/splitBytes/midPlaces)
	for k := int64(1); k*splitBytes < j.size; k++ {
		at, err := lineAfter(f, buf, max(k*splitBytes, from+1), j.size)
		if err != nil {
			return err
		}
		if at >= j.size {
			break
		}
		add(from, at)
		from = at
		if k%places == 0 && p.cfg.SampleRows >= 0 && p.cfg.Columns == nil {
			n := min(int64(len(buf)-16), j.size-at)
			if err := readFull(f, buf[:n], at); err != nil {
				return err
			}
			p.infer.take(buf, int(n), midSample, true)
		}
	}
	add(from, j.size)
	return nil
}

// lineAfter returns the position behind the first newline from at on.
func lineAfter(f *os.File, buf []byte, at, size int64) (int64, error) {
	for at < size {
		n := min(int64(len(buf)), size-at)
		if err := readFull(f, buf[:n], at); err != nil {
			return 0, err
		}
		if j := bytes.IndexByte(buf[:n], '\n'); j >= 0 {
			return at + int64(j) + 1, nil
		}
		at += n
	}
	return size, nil
}

// settle makes the schema and the estimates.
func (p *jsonPlanner) settle(path string) error {
	out := p.out
	out.Schema = slices.Clone(p.cfg.Columns)
	if out.Schema == nil {
		for _, name := range p.infer.names {
			t := types.T(types.Text)
			if !p.cfg.AllText {
				t = p.infer.guesses[name].typ()
			}
			out.Schema = append(out.Schema, vector.Field{Name: name, Type: t})
		}
		if len(out.Schema) == 0 {
			return p.noColumns(path)
		}
	}
	for name, t := range p.cfg.Types {
		i := fieldIndex(out.Schema, name)
		if i < 0 {
			i = slices.IndexFunc(out.Schema, func(f vector.Field) bool { return strings.EqualFold(f.Name, name) })
		}
		if i < 0 {
			return pgerr.New(pgerr.UndefinedColumn, "column \"%s\" does not exist in file \"%s\"", name, path).
				WithHint("Its columns are %s.", strings.Join(p.infer.names, ", "))
		}
		out.Schema[i].Type = t
	}
	width := 64.0
	if p.infer.objects > 0 {
		width = float64(p.infer.bytes) / float64(p.infer.objects)
	}
	for _, s := range out.Splits {
		s.Rows = int64(float64(s.Length)/width) + 1
		out.RowsEstimate += s.Rows
	}
	return nil
}

// noColumns says why nothing was found: the file's own error if it has one.
func (p *jsonPlanner) noColumns(path string) error {
	if len(p.out.Splits) > 0 && !p.cfg.IgnoreErrors {
		r, err := openJSON(&proto.Scan{Name: path, Json: p.out.Options}, p.out.Splits[:1], 1, settings{})
		if err == nil {
			_, err = r.Next(context.Background())
			r.Close()
		}
		if err != nil {
			return err
		}
	}
	return pgerr.New(pgerr.BadCopyFileFormat, "file \"%s\" has no objects with keys, so its columns are not known", path).
		WithHint("Declare them with the columns option.")
}
