package udf

import (
	"fmt"
	"runtime"
	"strings"
)

// whereBytes bounds the text of all stacks that is looked through.
const whereBytes = 1 << 20

// where says which calls of user code the stream's goroutine is in, a line per call
// as userStack has them; "" if it is in none.
func (s *stream) where() string {
	buf := make([]byte, whereBytes)
	buf = buf[:runtime.Stack(buf, true)]
	mark := fmt.Sprintf("%s(*stream).run(%p", sdkPackage, s)
	for _, g := range strings.Split(string(buf), "\n\n") {
		if strings.Contains(g, mark) {
			return userCalls(g)
		}
	}
	return ""
}

// userCalls is the part of the text of a goroutine's stack that stands above this
// package.
func userCalls(stack string) string {
	lines := strings.Split(stack, "\n")
	var calls []string
	for i := 1; i+1 < len(lines) && len(calls) < 12; i += 2 {
		name := lines[i]
		if at := strings.LastIndexByte(name, '('); at > 0 {
			name = name[:at]
		}
		switch {
		case strings.HasPrefix(name, sdkPackage):
			return strings.Join(calls, "; ")
		case strings.HasPrefix(name, "runtime.") || strings.HasPrefix(name, "reflect."):
			continue
		}
		file, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " +0x")
		if at := strings.LastIndexByte(file, '/'); at >= 0 {
			file = file[at+1:]
		}
		calls = append(calls, name+" ("+file+")")
	}
	return strings.Join(calls, "; ")
}
