package proto

import (
	"errors"
	"testing"

	"github.com/volleydb/volley/pgerr"
	pb "google.golang.org/protobuf/proto"
)

// Every class and field survives the wire.
func TestErrorRoundTrip(t *testing.T) {
	for class := pgerr.User; class <= pgerr.Bug; class++ {
		in := pgerr.New(pgerr.DivisionByZero, "division by zero").WithDetail("d").WithHint("h").
			WithWhere("w").WithClass(class).At(17)
		raw, err := pb.Marshal(FromError(in))
		if err != nil {
			t.Fatal(err)
		}
		var x Error
		if err := pb.Unmarshal(raw, &x); err != nil {
			t.Fatal(err)
		}
		var out *pgerr.Error
		if !errors.As(x.Err(), &out) {
			t.Fatalf("not a pgerr.Error: %v", x.Err())
		}
		if out.Code != in.Code || out.Message != in.Message || out.Detail != "d" || out.Hint != "h" ||
			out.Where != "w" || out.Position != 17 || out.Class != class {
			t.Errorf("class %s: got %+v", class, out)
		}
	}
}

func TestErrorNilAndBad(t *testing.T) {
	if FromError(nil) != nil || (*Error)(nil).Err() != nil {
		t.Error("nil must stay nil")
	}
	if e := (&Error{Code: "1", Message: "m", Class: 99}).PgError(); e.Code != pgerr.InternalError || e.Class != pgerr.Bug || e.Message != "m" {
		t.Errorf("got %+v", e)
	}
}
