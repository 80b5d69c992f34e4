package function

import (
	"golang.org/x/text/unicode/norm"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// overlaps tells whether two spans of time have a moment in common, each given by
// its ends in any order; a span of no length is its moment. It may be known with an
// end that is NULL.
func overlaps(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
	b := vector.NewBuilder(types.T(types.Bool), n)
	var at [4][]int64
	for k := range at {
		args[k] = args[k].Flatten()
		at[k] = vector.Values[int64](args[k])
	}
	span := func(k, i int) (from, to int64, open, ok bool) {
		from, to = at[k][i], at[k+1][i]
		switch x, y := args[k].IsNull(i), args[k+1].IsNull(i); {
		case x && y:
			return 0, 0, false, false
		case x:
			return to, 0, true, true
		case y:
			return from, 0, true, true
		}
		return min(from, to), max(from, to), false, true
	}
	for i := range n {
		f1, t1, open1, ok1 := span(0, i)
		f2, t2, open2, ok2 := span(2, i)
		if f1 > f2 { // by symmetry
			f1, t1, open1, f2, t2, open2 = f2, t2, open2, f1, t1, open1
		}
		switch {
		case !ok1 || !ok2, open1, open2 && (f1 == f2 || f2 >= t1):
			b.AppendNull()
		default:
			vector.Append(b, f1 == f2 || f2 < t1)
		}
	}
	return b.Build(), nil
}

// normalForm is the form of Unicode that a row names as its second argument.
func normalForm(r *row) (norm.Form, error) {
	if len(r.args) < 2 {
		return norm.NFC, nil
	}
	switch name := asciiUpper(r.str(1)); name {
	case "NFC":
		return norm.NFC, nil
	case "NFD":
		return norm.NFD, nil
	case "NFKC":
		return norm.NFKC, nil
	case "NFKD":
		return norm.NFKD, nil
	}
	return 0, pgerr.New(pgerr.InvalidParameterValue, "invalid normalization form: %s", r.str(1))
}

func asciiUpper(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

func registerNormalize(r *registry) {
	for _, t := range []string{"timestamp", "timestamptz", "time"} {
		r.scalar("overlaps("+t+","+t+","+t+","+t+") bool", overlaps, called, doc("intervals overlap?"))
	}
	normalize := text(func(dst []byte, r *row) ([]byte, error) {
		f, err := normalForm(r)
		if err != nil {
			return nil, err
		}
		return f.AppendString(dst, r.str(0)), nil
	})
	is := toFixed(types.Bool, func(r *row) (bool, bool, error) {
		f, err := normalForm(r)
		return err == nil && f.IsNormalString(r.str(0)), true, err
	})
	for _, args := range []string{"(text)", "(text,text)"} {
		r.scalar("normalize"+args+" text", normalize, doc("Unicode normalization"))
		r.scalar("is_normalized"+args+" bool", is, doc("check Unicode normalization"))
	}
}
