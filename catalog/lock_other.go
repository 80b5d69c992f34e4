//go:build !unix

package catalog

import (
	"os"

	"github.com/volleydb/volley/pgerr"
)

// lockDir refuses: without a lock that ends with the process two servers could
// corrupt one directory.
func lockDir(dir, path string) (*os.File, error) {
	return nil, pgerr.New(pgerr.FeatureNotSupported, "a data directory is not supported on this operating system")
}

func syncDir(path string) error { return nil }
