package pgcatalog

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/volleydb/volley/catalog"
)

// OIDs of catalogs that dependencies and descriptions refer to.
const (
	typeClass      uint32 = 1247
	extensionClass uint32 = 3079
)

// extension finds an extension by OID; nil where there is none.
func (v *View) extension(oid uint32) *catalog.Extension {
	for _, e := range v.Snapshot.Extensions() {
		if e.OID == oid {
			return e
		}
	}
	return nil
}

// extensionRow is a row of pg_extension.
type extensionRow struct {
	*catalog.Extension
	owner, schema uint32
}

func (v *View) extensions() []extensionRow {
	var out []extensionRow
	for _, e := range v.Snapshot.Extensions() {
		out = append(out, extensionRow{e, v.roleOID(e.Owner), v.schemaOID(e.Schema)})
	}
	return out
}

// availableRow is a version of an extension that could be created: an artifact
// that has a version.
type availableRow struct {
	name, version, installed string
	here                     bool // this version is the installed one
}

// availableVersions are all artifacts with a version.
func (v *View) availableVersions() []availableRow {
	var out []availableRow
	for _, a := range v.Snapshot.Artifacts() {
		var m struct {
			Version string `json:"version"`
		}
		if json.Unmarshal(a.Manifest, &m) != nil || m.Version == "" {
			continue
		}
		r := availableRow{name: a.Name, version: m.Version}
		if e := v.Snapshot.Extension(a.Name); e != nil {
			r.installed, r.here = e.Version, e.Digest == a.Digest
		}
		out = append(out, r)
	}
	return out
}

// available is one row per extension, with the version that was added last.
func (v *View) available() []availableRow {
	newest := map[string]time.Time{}
	for _, a := range v.Snapshot.Artifacts() {
		if a.Created.After(newest[a.Name]) {
			newest[a.Name] = a.Created
		}
	}
	var out []availableRow
	for _, r := range v.availableVersions() {
		if i := slices.IndexFunc(out, func(o availableRow) bool { return o.name == r.name }); i < 0 {
			out = append(out, r)
		} else if v.createdAt(r).Equal(newest[r.name]) {
			out[i] = r
		}
	}
	return out
}

func (v *View) createdAt(r availableRow) time.Time {
	for _, a := range v.Snapshot.Artifacts() {
		var m struct {
			Version string `json:"version"`
		}
		if a.Name == r.name && json.Unmarshal(a.Manifest, &m) == nil && m.Version == r.version {
			return a.Created
		}
	}
	return time.Time{}
}

// defaultACLRow is a row of pg_default_acl.
type defaultACLRow struct {
	oid, role, schema uint32
	acl               []string
}

func (v *View) defaultACLs() []defaultACLRow {
	var out []defaultACLRow
	for _, a := range v.Snapshot.DefaultACLs() {
		own := ""
		if a.Schema == "" {
			own = "X"
		}
		r := defaultACLRow{oid: v.roleOID(a.Role)<<1 + 1, role: v.roleOID(a.Role)}
		if a.Schema != "" {
			r.schema = v.schemaOID(a.Schema)
			r.oid = r.role ^ r.schema<<8
		}
		if r.acl = aclOf(a.Grants, a.Role, own, functionPrivileges); own == "" {
			r.acl = slices.DeleteFunc(r.acl, func(s string) bool { return s == aclItem(a.Role, "", a.Role) })
		}
		out = append(out, r)
	}
	return out
}

// extensionSources are the tables about extensions and default privileges, and
// volley.function_versions.
func extensionSources() map[string]source {
	return map[string]source{
		"pg_catalog.pg_extension": &table[extensionRow]{rows: (*View).extensions, cols: columns[extensionRow]{
			"oid":            oid(func(r *extensionRow) uint32 { return r.OID }),
			"extname":        str(func(r *extensionRow) string { return r.Name }),
			"extowner":       oid(func(r *extensionRow) uint32 { return r.owner }),
			"extnamespace":   oid(func(r *extensionRow) uint32 { return r.schema }),
			"extrelocatable": flag[extensionRow](false),
			"extversion":     str(func(r *extensionRow) string { return r.Version }),
		}},
		"pg_catalog.pg_available_extensions": &table[availableRow]{rows: (*View).available, cols: columns[availableRow]{
			"name":              str(func(r *availableRow) string { return r.name }),
			"default_version":   str(func(r *availableRow) string { return r.version }),
			"installed_version": strOpt(func(r *availableRow) string { return r.installed }),
		}},
		"pg_catalog.pg_available_extension_versions": &table[availableRow]{rows: (*View).availableVersions, cols: columns[availableRow]{
			"name":        str(func(r *availableRow) string { return r.name }),
			"version":     str(func(r *availableRow) string { return r.version }),
			"installed":   val(func(r *availableRow) bool { return r.here }),
			"superuser":   flag[availableRow](true),
			"trusted":     flag[availableRow](false),
			"relocatable": flag[availableRow](false),
		}},
		"pg_catalog.pg_default_acl": &table[defaultACLRow]{rows: (*View).defaultACLs, cols: columns[defaultACLRow]{
			"oid":             oid(func(r *defaultACLRow) uint32 { return r.oid }),
			"defaclrole":      oid(func(r *defaultACLRow) uint32 { return r.role }),
			"defaclnamespace": oid(func(r *defaultACLRow) uint32 { return r.schema }),
			"defaclobjtype":   letter[defaultACLRow]('f'),
			"defaclacl":       strs(func(r *defaultACLRow) []string { return r.acl }),
		}},
		"volley.function_versions": &table[versionRow]{rows: (*View).versions, cols: columns[versionRow]{
			"function":   str((*versionRow).signature),
			"version":    val(func(r *versionRow) int32 { return int32(r.Version) }),
			"digest":     strOpt(func(r *versionRow) string { return r.Digest }),
			"created_by": strOpt(func(r *versionRow) string { return r.CreatedBy }),
			"created_at": when(func(r *versionRow) time.Time { return r.Created }),
			"active":     val(func(r *versionRow) bool { return r.current }),
			"canary": opt(func(r *versionRow) (float64, bool) {
				return float64(r.CanaryShare) / (catalog.WholeShare / 100), r.CanaryVersion == r.Version && r.CanaryShare > 0
			}),
		}},
	}
}

// signature is schema.name(types), which regprocedure reads.
func (r *versionRow) signature() string { return r.Schema + "." + r.Signature() }
