package function

import (
	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// The helpers below make EvalFuncs from functions on single values. The call
// per row costs about a nanosecond; what runs on every row of every query
// (comparisons, arithmetic) has loops of its own.

// allValid reports whether row i of no argument is NULL. Kernels ask it only
// once something has gone wrong, since a NULL row may hold any value.
func allValid(args []*vector.Vector, i int) bool {
	for _, a := range args {
		if a.IsNull(i) {
			return false
		}
	}
	return true
}

// unary maps values by a function that cannot fail.
func unary[A, R vector.Fixed](rt types.ID, f func(A) R) EvalFunc {
	return func(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		out := vector.NewDirty(types.T(rt), n)
		a, dst := vector.Values[A](args[0]), vector.Values[R](out)
		m := indexMask(args[0])
		for i := range dst {
			dst[i] = f(a[i&m])
		}
		return out, nil
	}
}

// unaryErr maps values by a function that can fail.
func unaryErr[A, R vector.Fixed](rt types.ID, f func(A) (R, error)) EvalFunc {
	return unaryCtx(rt, func(_ *Ctx, a A) (R, error) { return f(a) })
}

func unaryCtx[A, R vector.Fixed](rt types.ID, f func(*Ctx, A) (R, error)) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		out := vector.NewDirty(types.T(rt), n)
		a, dst := vector.Values[A](args[0]), vector.Values[R](out)
		m := indexMask(args[0])
		for i := range dst {
			x, err := f(c, a[i&m])
			dst[i] = x
			if err != nil && allValid(args, i) {
				return nil, err
			}
		}
		return out, nil
	}
}

// binary is unary with two arguments.
func binary[A, B, R vector.Fixed](rt types.ID, f func(A, B) R) EvalFunc {
	return func(_ *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		out := vector.NewDirty(types.T(rt), n)
		a, b, dst := vector.Values[A](args[0]), vector.Values[B](args[1]), vector.Values[R](out)
		ma, mb := indexMask(args[0]), indexMask(args[1])
		for i := range dst {
			dst[i] = f(a[i&ma], b[i&mb])
		}
		return out, nil
	}
}

// binaryErr is unaryErr with two arguments.
func binaryErr[A, B, R vector.Fixed](rt types.ID, f func(A, B) (R, error)) EvalFunc {
	return binaryCtx(rt, func(_ *Ctx, a A, b B) (R, error) { return f(a, b) })
}

func binaryCtx[A, B, R vector.Fixed](rt types.ID, f func(*Ctx, A, B) (R, error)) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		out := vector.NewDirty(types.T(rt), n)
		a, b, dst := vector.Values[A](args[0]), vector.Values[B](args[1]), vector.Values[R](out)
		ma, mb := indexMask(args[0]), indexMask(args[1])
		for i := range dst {
			x, err := f(c, a[i&ma], b[i&mb])
			dst[i] = x
			if err != nil && allValid(args, i) {
				return nil, err
			}
		}
		return out, nil
	}
}

// row gives a function of several arguments access to row i of them.
type row struct {
	c    *Ctx
	args []*vector.Vector
	i    int
}

// str is argument k, which aliases its vector.
func (r *row) str(k int) string   { return r.args[k].StringAt(r.i) }
func (r *row) bytes(k int) []byte { return r.args[k].BytesAt(r.i) }
func (r *row) int(k int) int      { return int(vector.At[int32](r.args[k], r.i)) }
func (r *row) i64(k int) int64    { return vector.At[int64](r.args[k], r.i) }
func (r *row) f64(k int) float64  { return vector.At[float64](r.args[k], r.i) }
func (r *row) bool(k int) bool    { return vector.At[bool](r.args[k], r.i) }
func (r *row) dec(k int) types.Decimal {
	return vector.At[types.Decimal](r.args[k], r.i)
}
func (r *row) null(k int) bool { return r.args[k].IsNull(r.i) }

// toBytes makes a function of rows whose result is written by f, which appends
// to dst. NULL rows are not asked.
func toBytes(rt types.ID, f func(dst []byte, r *row) ([]byte, error)) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		valid := rowsValid(args, n)
		offs := make([]int32, n+1)
		var data []byte
		if len(args) > 0 && args[0].Type.Phys() == types.PhysBytes && args[0].Form == vector.Flat {
			data = make([]byte, 0, len(args[0].Bytes))
		}
		r := row{c: c, args: args}
		var err error
		for i := range n {
			if vector.IsValid(valid, i) {
				r.i = i
				if data, err = f(data, &r); err != nil {
					return nil, err
				}
				if len(data) > maxBytes {
					return nil, errTooLong()
				}
			}
			offs[i+1] = int32(len(data))
		}
		return vector.FromBytes(types.T(rt), offs, data), nil
	}
}

// toNullableBytes is toBytes for functions whose result may be NULL (ok false).
func toNullableBytes(rt types.ID, f func(dst []byte, r *row) (out []byte, ok bool, err error)) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		var nulls []int
		v, err := toBytes(rt, func(dst []byte, x *row) ([]byte, error) {
			out, ok, err := f(dst, x)
			if !ok {
				nulls = append(nulls, x.i)
			}
			return out, err
		})(c, args, n)
		if err != nil {
			return nil, err
		}
		return setNulls(v, nulls), nil
	}
}

// toFixed makes a function of rows with a fixed-width result; ok false is NULL.
func toFixed[R vector.Fixed](rt types.ID, f func(r *row) (x R, ok bool, err error)) EvalFunc {
	return func(c *Ctx, args []*vector.Vector, n int) (*vector.Vector, error) {
		out := vector.New(types.T(rt), n)
		dst := vector.Values[R](out)
		valid := rowsValid(args, n)
		r := row{c: c, args: args}
		var nulls []int
		for i := range dst {
			if !vector.IsValid(valid, i) {
				continue
			}
			r.i = i
			x, ok, err := f(&r)
			if err != nil {
				return nil, err
			}
			if !ok {
				nulls = append(nulls, i)
			}
			dst[i] = x
		}
		return setNulls(out, nulls), nil
	}
}

func setNulls(v *vector.Vector, nulls []int) *vector.Vector {
	if len(nulls) == 0 {
		return v
	}
	v.Valid = vector.NewValid(v.Len)
	for _, i := range nulls {
		vector.SetNull(v.Valid, i)
	}
	return v
}

// maxBytes bounds the bytes of one vector, whose offsets have 32 bits.
const maxBytes = 1<<31 - 1

func errTooLong() error {
	return pgerr.New(pgerr.ProgramLimitExceeded, "the strings of one batch exceed 2 GB")
}
