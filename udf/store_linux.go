package udf

import (
	"os"
	"syscall"
)

// changeTime is the time of a file's last change in nanoseconds, which nobody can
// set as they can the time of its last modification.
func changeTime(i os.FileInfo) int64 {
	if st, ok := i.Sys().(*syscall.Stat_t); ok {
		return st.Ctim.Nano()
	}
	return 0
}
