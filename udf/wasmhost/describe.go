package wasmhost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/tetratelabs/wazero/sys"

	"github.com/volleydb/volley/udf/sdk/wire"
)

// describeLimit is the memory that a module may use to say what it is.
const describeLimit = 1 << 30

// Describe runs a module, in this process, as far as it takes to learn which
// functions it has.
func Describe(ctx context.Context, module []byte) (*wire.Manifest, error) {
	e, err := newEngine(ctx, module, config{limit: describeLimit, procs: runtime.GOMAXPROCS(0), slow: true})
	if err != nil {
		return nil, err
	}
	defer e.close()
	in := e.newInstance(&output{w: io.Discard})
	if e.plain {
		var m *wire.HelloMsg
		in.emit = func(in *instance, _ wire.Header, payload, _ []byte) {
			m = new(wire.HelloMsg)
			if json.Unmarshal(payload, m) != nil {
				m = nil
			}
			in.end()
		}
		if err := in.run(in.servePlain); err != nil {
			return nil, errors.New(in.ended(err).Message)
		}
		if m == nil {
			return nil, errors.New("the module does not describe itself")
		}
		return &m.Manifest, nil
	}
	var out bytes.Buffer
	in.out = &out
	in.emit = func(*instance, wire.Header, []byte, []byte) {}
	in.end()
	err = in.run(nil, "--manifest")
	var exit *sys.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 0 {
		err = nil
	}
	var m wire.Manifest
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &m)
	}
	if err != nil {
		if said := in.log.tail(); said != "" {
			return nil, fmt.Errorf("%w: %s", err, said)
		}
		return nil, err
	}
	return &m, nil
}
