package function

import (
	"slices"

	"github.com/volleydb/volley/types"
)

// VolleySchema is the schema of the functions that only Volley has.
const VolleySchema = "volley"

// ReceiptLookup is what a CatalogLookup may know besides: the receipts of queries.
type ReceiptLookup interface {
	// QueryReceipt gives the receipt of a query as JSON; 42704 if there is none,
	// 42501 if it is another's.
	QueryReceipt(id string) (string, error)
}

func inVolley(f *Function) { f.Schema = VolleySchema }

// registerReceipts registers the functions about past queries.
func registerReceipts(r *registry) {
	r.scalar("last_query_id() text", toNullableBytes(types.Text, func(dst []byte, r *row) ([]byte, bool, error) {
		id, _ := r.c.setting("volley.last_query_id")
		return append(dst, id...), id != "", nil
	}), inVolley, stable, doc("id of the last query of the session, without those about receipts"))
	r.scalar("query_receipt(text) jsonb", toNullableBytes(types.JSONB, func(dst []byte, r *row) ([]byte, bool, error) {
		cat, err := r.c.catalog("query_receipt")
		if err != nil {
			return nil, false, err
		}
		s, err := cat.(ReceiptLookup).QueryReceipt(r.str(0))
		if err != nil {
			return nil, false, err
		}
		dst, err = types.AppendJSONB(dst, []byte(s))
		return dst, true, err
	}), inVolley, stable, argNames("query_id"), doc("what the rows of a query depended on"))
}

// Procedure is a built-in that CALL calls. The coordinator runs it.
type Procedure struct {
	OID          uint32
	Schema, Name string
	Args         []types.Type
	ArgNames     []string
	Doc          string
}

var procedures = []Procedure{
	{Schema: VolleySchema, Name: "replay", Args: []types.Type{textType}, ArgNames: []string{"query_id"},
		Doc: "run a query again as its receipt says, and give the same rows"},
}

// Procedures are all built-in procedures.
func Procedures() []Procedure {
	out := slices.Clone(procedures)
	for i := range out {
		p := &out[i]
		p.OID = oidOf(p.Schema + "." + p.Name + "(" + argList(p.Args, false) + ")")
	}
	return out
}
