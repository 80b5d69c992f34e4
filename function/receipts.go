package function

import "github.com/volleydb/volley/types"

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
