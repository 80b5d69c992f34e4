package function

import (
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

// CompareKind is one of the six comparisons.
type CompareKind uint8

// The comparisons.
const (
	EQ CompareKind = iota
	NE
	LT
	LE
	GT
	GE
)

var compareNames = [...]string{"=", "<>", "<", "<=", ">", ">="}

func (k CompareKind) String() string { return compareNames[k] }

// Swap returns the comparison with its sides exchanged: a k b is b k.Swap() a.
func (k CompareKind) Swap() CompareKind {
	return [...]CompareKind{EQ, NE, GT, GE, LT, LE}[k]
}

// ParseCompare maps an operator to its comparison.
func ParseCompare(op string) (CompareKind, bool) {
	if op == "!=" {
		return NE, true
	}
	for i, n := range compareNames {
		if n == op {
			return CompareKind(i), true
		}
	}
	return 0, false
}

// CompareOp compares n rows of a and b, Flat or Const and of the same Phys, and
// returns booleans, NULL where a side is NULL. Strings compare by their bytes
// (the C collation), char(n) without trailing blanks, NaN equals itself and is
// above all numbers.
func CompareOp(op CompareKind, a, b *vector.Vector, n int) (*vector.Vector, error) {
	out, err := compareRows(op, a, b, n)
	if err != nil {
		return nil, err
	}
	return out.WithValid(rowsValid([]*vector.Vector{a, b}, n)), nil
}

// Comparer returns a three-way comparison of row i of a with row j of b, both
// valid rows of Flat or Const vectors of type t: what sorting, min and max, and
// merge joins use. It is nil for a type without an order.
func Comparer(t types.Type) func(a *vector.Vector, i int, b *vector.Vector, j int) int {
	return comparer(t)
}
