package vector

import "github.com/volleydb/volley/types"

// AppendText appends the text form of row i, which is not NULL.
func AppendText(dst []byte, v *Vector, i int, o *types.TextOptions) []byte {
	return TextAppender(v.Type, o)(dst, v, i)
}

// TextAppender returns AppendText for vectors of type t, so that a loop chooses once.
func TextAppender(t types.Type, o *types.TextOptions) func(dst []byte, v *Vector, i int) []byte {
	panic("vector: being written")
}

// AppendBinary appends row i, which is not NULL, in Postgres' binary form.
func AppendBinary(dst []byte, v *Vector, i int) []byte { panic("vector: being written") }

// ParseText reads s as a value of b's type and appends it. On an error nothing is appended.
func ParseText(b *Builder, s []byte, o *types.TextOptions) error {
	return TextParser(b.t, o)(b, s)
}

// TextParser returns ParseText for builders of type t, so that a loop chooses once.
func TextParser(t types.Type, o *types.TextOptions) func(b *Builder, s []byte) error {
	panic("vector: being written")
}

// ParseBinary reads data, in Postgres' binary form, as a value of b's type and appends it.
func ParseBinary(b *Builder, data []byte) error { panic("vector: being written") }
