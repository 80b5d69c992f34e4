package wasmopt

import (
	"bytes"
	"errors"
)

// TurnZeros turns round, in any module, the comparisons that the engine gets wrong:
// see zeroLast. Functions with instructions that this package does not know, which the
// engine does not know either, stay as they are. The result is the module itself if there is
// nothing to do.
func TurnZeros(module []byte) ([]byte, error) {
	if !bytes.HasPrefix(module, magic) {
		return nil, errors.New("not a WebAssembly module")
	}
	r := reader{b: module[len(magic):]}
	for len(r.b) > 0 {
		before := module[:len(module)-len(r.b)]
		id := r.byte()
		body := r.take(int(r.u32()))
		if r.err != nil {
			return nil, errors.New("the module is damaged")
		}
		if id != sectionCode {
			continue
		}
		code, turned, err := turnCode(body)
		if err != nil || !turned {
			return module, err
		}
		out := append(bytes.Clone(before), id)
		out = appendU32(out, uint32(len(code)))
		return append(append(out, code...), r.b...), nil
	}
	return module, nil
}

func turnCode(section []byte) (out []byte, turned bool, err error) {
	r := reader{b: section}
	n := r.u32()
	out = appendU32(nil, n)
	for range n {
		body := r.take(int(r.u32()))
		if r.err != nil {
			return nil, false, errors.New("the module is damaged")
		}
		if mayTurn(body) {
			if b, ok := turnBody(body); ok {
				body, turned = b, true
			}
		}
		out = append(appendU32(out, uint32(len(body))), body...)
	}
	return out, turned, nil
}

// mayTurn reports whether a function has a bitwise and right before a comparison, or
// bytes that look so: few have.
func mayTurn(body []byte) bool {
	for i, b := range body[:max(len(body)-1, 0)] {
		if (b == opI32And || b == opI64And) && inverse(body[i+1]) != 0 {
			return true
		}
	}
	return false
}

// turnBody is TurnZeros for a function's locals and instructions; ok is false if it
// stays as it is.
func turnBody(body []byte) (_ []byte, ok bool) {
	r := reader{b: body, any: true}
	for range r.u32() {
		r.u32()
		r.byte()
		if r.err != nil {
			return nil, false
		}
	}
	locals := body[:len(body)-len(r.b)]
	var ins []instr
	turned := false
	for len(r.b) > 0 {
		in := r.next()
		if r.err != nil {
			return nil, false
		}
		var now bool
		if ins, now = zeroLast(ins, in); now {
			turned = true
			continue
		}
		ins = append(ins, in)
	}
	if !turned {
		return nil, false
	}
	out := bytes.Clone(locals)
	for _, in := range ins {
		out = append(out, in.raw...)
	}
	return out, true
}
