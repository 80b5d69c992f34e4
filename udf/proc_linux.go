package udf

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// childAttr puts a child into its own process group, so that a Ctrl-C at the
// terminal is the host's to handle, and lets the kernel end it with the host.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func killGroup(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGKILL) }

// privateMemory is the resident memory of a process without what it shares.
func privateMemory(pid int) (int64, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0, false
	}
	f := strings.Fields(string(b))
	if len(f) < 3 {
		return 0, false
	}
	rss, err1 := strconv.ParseInt(f[1], 10, 64)
	shared, err2 := strconv.ParseInt(f[2], 10, 64)
	return (rss - shared) * int64(os.Getpagesize()), err1 == nil && err2 == nil
}

// machineMemory is the memory that the process may use: the cgroup's limit or
// the machine's.
func machineMemory() int64 {
	var si syscall.Sysinfo_t
	total := int64(4 << 30)
	if syscall.Sysinfo(&si) == nil {
		total = int64(si.Totalram) * int64(si.Unit)
	}
	for _, f := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if b, err := os.ReadFile(f); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 && n < total {
				total = n
			}
		}
	}
	return total
}
