// Package udf keeps user-defined functions and runs them: the artifact store,
// the build of an author's Go package into an artifact, and the host that runs
// artifacts in child processes.
//
// An artifact is a deterministic tar of manifest.json and one static binary per
// platform, named by the sha256 of its bytes. The binary is an ordinary Go
// program over package udf/sdk. A Host starts it once per digest and worker and
// talks to it as docs/udf/protocol.md says: control frames over a socket pair, columns in
// shared memory. Results are copied out of the shared memory before they are
// validated and used, so a plugin can give wrong values but not corrupt memory.
package udf
