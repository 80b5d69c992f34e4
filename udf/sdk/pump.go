package udf

import (
	"fmt"
	"os"
)

// await returns when ready holds or the stream is cancelled. A WASM module has
// one thread, and a read from the host blocks all of it, so there a stream that
// waits reads the frames itself; elsewhere the server's goroutine does, and await
// returns at once. It goes before every wait for something that a frame brings.
func (s *stream) await(ready func() bool) {
	if s.srv.attach == nil {
		return
	}
	for !ready() && !s.cancelled {
		if err := s.srv.readFrame(); err != nil {
			fmt.Fprintln(os.Stderr, "volley: control frames:", err)
			os.Exit(1)
		}
	}
}
