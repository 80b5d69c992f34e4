package function

import (
	"time"

	"github.com/volleydb/volley/pgerr"
)

// location is the session's time zone, UTC where there is none.
func (c *Ctx) location() *time.Location {
	if c == nil || c.Location == nil {
		return time.UTC
	}
	return c.Location
}

func (c *Ctx) now() time.Time {
	if c == nil {
		return time.Time{}
	}
	return time.UnixMicro(c.Now)
}

// catalog returns the catalog, an error where the call runs on a worker.
func (c *Ctx) catalog(what string) (CatalogLookup, error) {
	if c == nil || c.Catalog == nil {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "%s is not supported in a distributed part of a query", what)
	}
	return c.Catalog, nil
}
