//go:build unix

package catalog

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/volleydb/volley/pgerr"
)

// lockDir takes the directory's lock, which the kernel gives back when the
// process ends in whatever way. The file holds the owner's process id, for the
// error message only.
func lockDir(dir, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not open lock file \"%s\"", path)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, pgerr.Wrap(err, pgerr.IOError, "could not lock \"%s\"", path)
		}
		owner := make([]byte, 32)
		n, _ := f.ReadAt(owner, 0)
		pid := strings.TrimSpace(string(owner[:n]))
		if _, err := strconv.Atoi(pid); err != nil {
			pid = "unknown"
		}
		return nil, pgerr.New(pgerr.ObjectInUse, "data directory \"%s\" is in use by another Volley process (pid %s)", dir, pid).
			WithHint("Connect to that server, stop it, or choose another directory with --data.")
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		f.Close()
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not write lock file \"%s\"", path)
	}
	return f, nil
}

// syncDir makes renames and removals in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
