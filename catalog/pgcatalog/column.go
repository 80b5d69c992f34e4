package pgcatalog

import (
	"time"

	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// column makes the vector of one column from rows. The Phys of t must be the
// one that the constructor names.
type column[T any] func(t types.Type, rows []T) *vector.Vector

// columns are the columns of a table that have something to show, by name.
type columns[T any] map[string]column[T]

// val is a column of fixed-width values, none NULL.
func val[T any, N vector.Fixed](f func(*T) N) column[T] {
	return func(t types.Type, rows []T) *vector.Vector {
		out := make([]N, len(rows))
		for i := range rows {
			out[i] = f(&rows[i])
		}
		return vector.FromSlice(t, out)
	}
}

// opt is a column of fixed-width values, NULL where ok is false.
func opt[T any, N vector.Fixed](f func(*T) (v N, ok bool)) column[T] {
	return func(t types.Type, rows []T) *vector.Vector {
		out := make([]N, len(rows))
		n := nulls{n: len(rows)}
		for i := range rows {
			var ok bool
			if out[i], ok = f(&rows[i]); !ok {
				n.set(i)
			}
		}
		return vector.FromSlice(t, out).WithValid(n.valid)
	}
}

// oid is a column of oid or a reg type.
func oid[T any](f func(*T) uint32) column[T] {
	return val(func(r *T) int64 { return int64(f(r)) })
}

// when is a column of timestamptz, NULL where the time is zero.
func when[T any](f func(*T) time.Time) column[T] {
	return opt(func(r *T) (int64, bool) {
		at := f(r)
		if at.IsZero() {
			return 0, false
		}
		return at.UnixMicro(), true
	})
}

// str is a column of strings, none NULL.
func str[T any](f func(*T) string) column[T] {
	return func(t types.Type, rows []T) *vector.Vector {
		out := make([]string, len(rows))
		for i := range rows {
			out[i] = f(&rows[i])
		}
		return vector.FromStrings(t, out)
	}
}

// strOpt is a column of strings where "" stands for NULL.
func strOpt[T any](f func(*T) string) column[T] {
	return func(t types.Type, rows []T) *vector.Vector {
		out := make([]string, len(rows))
		n := nulls{n: len(rows)}
		for i := range rows {
			if out[i] = f(&rows[i]); out[i] == "" {
				n.set(i)
			}
		}
		return vector.FromStrings(t, out).WithValid(n.valid)
	}
}

// char is a column of "char".
func char[T any](f func(*T) byte) column[T] {
	return str(func(r *T) string {
		if c := f(r); c != 0 {
			return string(rune(c))
		}
		return ""
	})
}

// yes is a column of information_schema's yes_or_no.
func yes[T any](f func(*T) bool) column[T] {
	return str(func(r *T) string {
		if f(r) {
			return "YES"
		}
		return "NO"
	})
}

// strs is a column of string arrays, NULL where the slice is nil.
func strs[T any](f func(*T) []string) column[T] {
	return list(f, func(t types.Type, all []string) *vector.Vector { return vector.FromStrings(t, all) })
}

// oids is a column of oid[] (NULL where the slice is nil) or oidvector (never NULL).
func oids[T any](f func(*T) []uint32) column[T] {
	return list(f, func(t types.Type, all []uint32) *vector.Vector {
		out := make([]int64, len(all))
		for i, o := range all {
			out[i] = int64(o)
		}
		return vector.FromSlice(t, out)
	})
}

func list[T, E any](f func(*T) []E, child func(types.Type, []E) *vector.Vector) column[T] {
	return func(t types.Type, rows []T) *vector.Vector {
		var all []E
		offs := make([]int32, 1, len(rows)+1)
		n := nulls{n: len(rows)}
		for i := range rows {
			es := f(&rows[i])
			if es == nil && t.ID == types.Array {
				n.set(i)
			}
			all = append(all, es...)
			offs = append(offs, int32(len(all)))
		}
		return vector.FromList(t, offs, child(t.ElemType(), all)).WithValid(n.valid)
	}
}

// same is a column of one value.
func same[T any](one func(t types.Type) *vector.Vector) column[T] {
	return func(t types.Type, rows []T) *vector.Vector { return vector.NewConst(one(t), len(rows)) }
}

func text[T any](s string) column[T] {
	return same[T](func(t types.Type) *vector.Vector { return vector.FromStrings(t, []string{s}) })
}

func letter[T any](c byte) column[T] { return text[T](string(rune(c))) }

func flag[T any](b bool) column[T] { return fixed[T](b) }

func fixed[T any, N vector.Fixed](n N) column[T] {
	return same[T](func(t types.Type) *vector.Vector { return vector.FromSlice(t, []N{n}) })
}

// zero is for the columns of views, which are NULL unless something is said.
func zero[T any](t types.Type, rows []T) *vector.Vector { return zeroes(t, len(rows)) }

// zeroes is n zero values: 0, false, ”, '{}'.
func zeroes(t types.Type, n int) *vector.Vector {
	return vector.NewConst(vector.New(t, 1), n)
}

// nulls is a validity bitmap that exists once a NULL is set.
type nulls struct {
	valid []byte
	n     int
}

func (n *nulls) set(i int) {
	if n.valid == nil {
		n.valid = vector.NewValid(n.n)
	}
	vector.SetNull(n.valid, i)
}
