package wasmopt

import (
	"bytes"
	"errors"
)

// Sections of a module.
const (
	sectionCustom   = 0
	sectionType     = 1
	sectionFunction = 3
	sectionCode     = 10
)

var magic = []byte("\x00asm\x01\x00\x00\x00")

type section struct {
	id   byte
	body []byte
}

// keepNames leaves the names of functions in modules, for a profile.
var keepNames = false

// Stats says what Optimize did.
type Stats struct{ Functions, Restructured int }

// Optimize rewrites a module that Go's compiler made. The result computes the same.
func Optimize(module []byte) ([]byte, Stats, error) {
	var st Stats
	if !bytes.HasPrefix(module, magic) {
		return nil, st, errors.New("not a WebAssembly module")
	}
	r := reader{b: module[len(magic):]}
	var sections []section
	var types, funcs, code []byte
	names := map[uint32]string{}
	for len(r.b) > 0 && r.err == nil {
		s := section{id: r.byte()}
		s.body = r.take(int(r.u32()))
		switch s.id {
		case sectionCustom:
			c := reader{b: s.body}
			if string(c.take(int(c.u32()))) == "name" {
				readNames(c.b, names)
				if !keepNames {
					continue // nobody needs it any more
				}
			}
		case sectionType:
			types = s.body
		case sectionFunction:
			funcs = s.body
		case sectionCode:
			code = s.body
		}
		sections = append(sections, s)
	}
	if r.err != nil {
		return nil, st, errors.New("the module is damaged")
	}
	goType, params := map[uint32]bool{}, map[uint32]uint32{}
	tr := reader{b: types}
	for i := range tr.u32() {
		if tr.err != nil {
			break
		}
		tr.byte()
		in := tr.take(int(tr.u32())) // types of one byte each
		params[i] = uint32(len(in))
		out := tr.take(int(tr.u32()))
		goType[i] = bytes.Equal(in, []byte{i32}) && bytes.Equal(out, []byte{i32})
	}
	known := callees{func(f uint32) bool { return neverReturns[names[f]] }, func(f uint32) bool { return names[f] == "runtime.deferreturn" }, false}
	for _, name := range names {
		known.named = known.named || name == "runtime.deferreturn"
	}
	fr, cr := reader{b: funcs}, reader{b: code}
	fr.u32()
	n := cr.u32()
	out := appendU32(nil, n)
	for range n {
		t := fr.u32()
		body := cr.take(int(cr.u32()))
		if cr.err != nil || fr.err != nil || tr.err != nil {
			return nil, st, errors.New("the module is damaged")
		}
		st.Functions++
		if goType[t] {
			if f, err := parse(body, known); err == nil {
				if b, err := restructure(f); err == nil {
					st.Restructured++
					body = b
				}
			}
			if b, err := blocks(body, params[t]); err == nil {
				body = b
			}
		}
		out = appendU32(out, uint32(len(body)))
		out = append(out, body...)
	}
	res := bytes.Clone(magic)
	for _, s := range sections {
		if s.id == sectionCode {
			s.body = out
		}
		res = append(res, s.id)
		res = appendU32(res, uint32(len(s.body)))
		res = append(res, s.body...)
	}
	return res, st, nil
}

// readNames reads the names of functions.
func readNames(b []byte, names map[uint32]string) {
	r := reader{b: b}
	for len(r.b) > 0 && r.err == nil {
		id := r.byte()
		sub := reader{b: r.take(int(r.u32()))}
		if id != 1 {
			continue
		}
		for range sub.u32() {
			i := sub.u32()
			name := string(sub.take(int(sub.u32())))
			if sub.err != nil {
				return
			}
			names[i] = name
		}
	}
}

// neverReturns are functions of Go's runtime after whose calls the compiler lets no
// code follow.
var neverReturns = map[string]bool{
	"runtime.sigpanic": true, "runtime.gopanic": true, "runtime.throw": true, "runtime.throwinit": true,
	"runtime.block": true, "runtime.fatalthrow": true, "runtime.fatalpanic": true, "runtime.panicwrap": true,
	"runtime.panicrangestate": true, "runtime.panicdivide": true, "runtime.panicshift": true, "runtime.panicoverflow": true,
	"runtime.panicdottypeE": true, "runtime.panicdottypeI": true, "runtime.panicnildottype": true, "runtime.panicSimdImm": true,
	"runtime.panicmakeslicelen": true, "runtime.panicmakeslicecap": true, "runtime.panicunsafeslicelen": true, "runtime.panicunsafeslicenilptr": true,
	"runtime.panicunsafestringlen": true, "runtime.panicunsafestringnilptr": true, "runtime.goPanicIndex": true, "runtime.goPanicIndexU": true,
	"runtime.goPanicSliceAlen": true, "runtime.goPanicSliceAlenU": true, "runtime.goPanicSliceAcap": true, "runtime.goPanicSliceAcapU": true,
	"runtime.goPanicSliceB": true, "runtime.goPanicSliceBU": true, "runtime.goPanicSlice3Alen": true, "runtime.goPanicSlice3AlenU": true,
	"runtime.goPanicSlice3Acap": true, "runtime.goPanicSlice3AcapU": true, "runtime.goPanicSlice3B": true, "runtime.goPanicSlice3BU": true,
	"runtime.goPanicSlice3C": true, "runtime.goPanicSlice3CU": true, "runtime.goPanicSliceConvert": true,
}
