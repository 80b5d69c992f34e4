package storage

import (
	"os"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// Every task of a query opens the files of its splits, and parsing a footer costs
// as much as decoding several row groups of a column. What was parsed is
// therefore kept for the process. It is never changed: arrow-go's metadata is
// read through accessors that make their results anew.

// maxFooterBytes bounds the serialized footers that are kept. Parsed ones take
// several times as much.
const maxFooterBytes = 16 << 20

// settled is the age from which a file's modification time identifies its
// content: two writes within one tick of the file system's clock carry the same.
const settled = 100 * time.Millisecond

// parsedFooter is a file's footer, for as long as the file is the one it was read from.
type parsedFooter struct {
	file   os.FileInfo
	meta   *metadata.FileMetaData
	fields []parquetField
}

// footerCache keeps footers by path.
type footerCache struct {
	mu    sync.Mutex
	kept  map[string]*parsedFooter
	bytes int
}

var footers = footerCache{kept: map[string]*parsedFooter{}}

// get returns the footer of the open file at path, if it was read before.
func (c *footerCache) get(path string, st os.FileInfo) *parsedFooter {
	c.mu.Lock()
	p := c.kept[path]
	c.mu.Unlock()
	if p == nil || p.file.Size() != st.Size() || !p.file.ModTime().Equal(st.ModTime()) || !os.SameFile(p.file, st) {
		return nil
	}
	return p
}

// put keeps a footer that was read from a file with the attributes p.file.
func (c *footerCache) put(path string, p *parsedFooter) {
	size := p.meta.Size()
	if age := time.Since(p.file.ModTime()); age < settled || size > maxFooterBytes/4 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.kept[path]; old != nil {
		c.bytes -= old.meta.Size()
		delete(c.kept, path)
	}
	// Which ones go is left to the map's order: no result depends on it.
	for other, old := range c.kept {
		if c.bytes+size <= maxFooterBytes {
			break
		}
		c.bytes -= old.meta.Size()
		delete(c.kept, other)
	}
	c.kept[path] = p
	c.bytes += size
}
