package udf

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	oci "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/volleydb/volley/pgerr"
)

// ArtifactSignature says that the owner of a key vouches for an artifact. Who may is for
// TrustedKeys to say.
type ArtifactSignature struct {
	Digest    string `json:"digest"`    // of the artifact
	Key       string `json:"key"`       // public ed25519 key, base64
	Signature string `json:"signature"` // base64
}

// Bounds of what others send.
const (
	maxSignatures     = 16
	maxSignatureBytes = 4 << 10
)

// signedText is what is signed: nothing else that a key may sign looks like it.
func signedText(digest string) []byte {
	return []byte("Volley artifact signature 1\n" + digest + "\n")
}

// Check verifies a signature of an artifact.
func (g *ArtifactSignature) Check(digest string) error {
	key, err1 := base64.StdEncoding.DecodeString(g.Key)
	sig, err2 := base64.StdEncoding.DecodeString(g.Signature)
	switch {
	case err1 != nil || err2 != nil || len(key) != ed25519.PublicKeySize || len(sig) != ed25519.SignatureSize:
		return pgerr.New(pgerr.InvalidParameterValue, "a signature of artifact %s is damaged", shortDigest(digest))
	case g.Digest != digest:
		return pgerr.New(pgerr.InvalidParameterValue, "the signature is for artifact %s, not %s", shortDigest(g.Digest), shortDigest(digest))
	case !ed25519.Verify(key, signedText(digest), sig):
		return pgerr.New(pgerr.InvalidParameterValue, "the signature of artifact %s by key %s is wrong", shortDigest(digest), KeyID(g.Key))
	}
	return nil
}

// KeyID is a public key for people.
func KeyID(key string) string {
	b, _ := base64.StdEncoding.DecodeString(key)
	sum := sha256.Sum256(b)
	return "ed25519:" + hex.EncodeToString(sum[:8])
}

// ParseSignatures reads what FormatSignatures wrote: one in JSON a line.
func ParseSignatures(b []byte) ([]ArtifactSignature, error) {
	var out []ArtifactSignature
	for _, l := range bytes.Split(b, []byte("\n")) {
		if l = bytes.TrimSpace(l); len(l) == 0 {
			continue
		}
		var g ArtifactSignature
		if err := json.Unmarshal(l, &g); err != nil || len(l) > maxSignatureBytes || len(out) == maxSignatures {
			return nil, pgerr.New(pgerr.InvalidParameterValue, "this is no list of signatures").WithHint("volley udf sign writes them.")
		}
		out = append(out, g)
	}
	return out, nil
}

// FormatSignatures writes signatures for a file or a message.
func FormatSignatures(list []ArtifactSignature) []byte {
	var out []byte
	for _, g := range list {
		b, _ := json.Marshal(&g) // three strings
		out = append(append(out, b...), '\n')
	}
	return out
}

// SignatureSuffix is appended to the name of an artifact's file for the file of its
// signatures.
const SignatureSuffix = ".sig"

// ReadSignatures reads the signatures that lie beside an artifact's file; there
// may be none.
func ReadSignatures(artifact string) ([]ArtifactSignature, error) {
	b, err := os.ReadFile(artifact + SignatureSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not read the signatures")
	}
	return ParseSignatures(b)
}

// SigningKey is a private ed25519 key.
type SigningKey struct{ key ed25519.PrivateKey }

// NewSigningKey makes a key.
func NewSigningKey() (*SigningKey, error) {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.InternalError, "could not make a key")
	}
	return &SigningKey{k}, nil
}

// ReadSigningKey reads a key in PKCS #8, PEM.
func ReadSigningKey(path string) (*SigningKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.UndefinedFile, "could not read the signing key")
	}
	bad := pgerr.New(pgerr.InvalidParameterValue, "%q is not an ed25519 private key in PEM", path).WithHint("volley udf keygen makes one.")
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, bad
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, bad
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, bad
	}
	return &SigningKey{key}, nil
}

// WriteFile writes the key for its owner alone; 58P02 if the file is there.
func (k *SigningKey) WriteFile(path string) error {
	b, err := x509.MarshalPKCS8PrivateKey(k.key)
	if err != nil {
		return pgerr.Wrap(err, pgerr.InternalError, "could not write the key")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not write the key")
	}
	err = pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: b})
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return pgerr.Wrap(err, pgerr.IOError, "could not write the key")
	}
	return nil
}

// Public is the public key in base64.
func (k *SigningKey) Public() string {
	return base64.StdEncoding.EncodeToString(k.key.Public().(ed25519.PublicKey))
}

// Sign vouches for an artifact.
func (k *SigningKey) Sign(digest string) ArtifactSignature {
	return ArtifactSignature{Digest: digest, Key: k.Public(), Signature: base64.StdEncoding.EncodeToString(ed25519.Sign(k.key, signedText(digest)))}
}

// TrustedLine is a key as a line of a list of trusted keys.
func TrustedLine(key, name string) string { return "ed25519 " + key + " " + name }

// TrustedKeys is a file that lists whose artifacts may run: a line is "ed25519",
// the public key in base64, and the key's name; # starts a comment. A change of the
// file counts from the next check on.
type TrustedKeys struct {
	path string

	mu    sync.Mutex
	stamp os.FileInfo
	keys  map[string]string // names by key
	gen   int               // counts the contents
}

// OpenTrustedKeys reads a list.
func OpenTrustedKeys(path string) (*TrustedKeys, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.UndefinedFile, "could not read the trusted keys")
	}
	t := &TrustedKeys{path: abs}
	_, _, err = t.current()
	return t, err
}

// Path is the file.
func (t *TrustedKeys) Path() string { return t.path }

// current returns the names by key, and which contents of the file these are. A
// file that cannot be read trusts nobody: that is an error.
func (t *TrustedKeys) current() (map[string]string, int, error) {
	st, err := os.Stat(t.path)
	if err != nil {
		return nil, 0, pgerr.Wrap(err, pgerr.UndefinedFile, "could not read the trusted keys")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stamp != nil && sameFile(t.stamp, st) {
		return t.keys, t.gen, nil
	}
	b, err := os.ReadFile(t.path)
	if err != nil {
		return nil, 0, pgerr.Wrap(err, pgerr.UndefinedFile, "could not read the trusted keys")
	}
	keys := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		l, _, _ := strings.Cut(lines.Text(), "#")
		f := strings.Fields(l)
		if len(f) == 0 {
			continue
		}
		k := []byte(nil)
		if len(f) >= 2 {
			k, _ = base64.StdEncoding.DecodeString(f[1])
		}
		if f[0] != "ed25519" || len(k) != ed25519.PublicKeySize {
			return nil, 0, pgerr.New(pgerr.InvalidParameterValue, "line %d of the trusted keys in %q is none", n, t.path).
				WithHint("A line is: ed25519, the public key in base64, a name. volley udf keygen writes one.")
		}
		name := strings.Join(f[2:], " ")
		if name == "" {
			name = KeyID(f[1])
		}
		keys[f[1]] = name
	}
	// A file written twice within a tick of its clock looks the same: one that is
	// this young is read again.
	if t.stamp = st; time.Since(st.ModTime()) < time.Second {
		t.stamp = nil
	}
	t.keys, t.gen = keys, t.gen+1
	return t.keys, t.gen, nil
}

// Signer returns the name of a trusted key that has signed the artifact.
func (t *TrustedKeys) Signer(digest string, list []ArtifactSignature) (name string, err error) {
	keys, _, err := t.current()
	if err != nil {
		return "", err
	}
	e := pgerr.New(pgerr.InsufficientPrivilege, "artifact %s is not signed by a trusted key", shortDigest(digest)).
		WithDetail("It has no signature.").
		WithHint("Have it signed, volley udf sign --key FILE, and push it again; the server's trusted keys are in %s.", t.path)
	for _, g := range list {
		name, known := keys[g.Key]
		if !known {
			e = e.WithDetail("It is signed by the key %s, which is not trusted.", KeyID(g.Key))
			continue
		}
		if err := g.Check(digest); err != nil {
			e = e.WithDetail("%s.", capital(pgerr.From(err).Message))
			continue
		}
		return name, nil
	}
	return "", e
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// trusted refuses an artifact without a trusted signature among list, and passes
// all when the store has no list of keys.
func (s *Store) trusted(digest string, list []ArtifactSignature) error {
	if s.keys == nil {
		return nil
	}
	_, err := s.keys.Signer(digest, list)
	return err
}

// checkTrust is trusted with the signatures that the store has.
func (s *Store) checkTrust(digest string) error {
	if s.keys == nil {
		return nil
	}
	_, gen, err := s.keys.current()
	if err != nil {
		return err
	}
	s.mu.Lock()
	ok := s.vouched[digest] == gen
	s.mu.Unlock()
	if ok {
		return nil
	}
	list, err := s.Signatures(digest)
	if err != nil {
		return err
	}
	if err := s.trusted(digest, list); err != nil {
		return err
	}
	s.mu.Lock()
	s.vouched[digest] = gen
	s.mu.Unlock()
	return nil
}

// AddSignatures keeps signatures of an artifact that is there. Those that are
// wrong are refused with 22023.
func (s *Store) AddSignatures(digest string, list []ArtifactSignature) error {
	if len(list) == 0 {
		return nil
	}
	all, err := s.listed()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(l listed) bool { return l.digest == digest })
	if i < 0 {
		return pgerr.New(pgerr.UndefinedFile, "artifact %s does not exist", digest)
	}
	if len(all[i].signatures)+len(list) > 2*maxSignatures {
		return pgerr.New(pgerr.ProgramLimitExceeded, "artifact %s has too many signatures", shortDigest(digest))
	}
	subject := all[i].desc
	subject.Annotations, subject.ArtifactType = nil, ""
	have := s.signaturesOf(all[i])
	for _, g := range list {
		if err := g.Check(digest); err != nil {
			return err
		}
		if slices.Contains(have, g) {
			continue
		}
		blob := FormatSignatures([]ArtifactSignature{g})
		empty := []byte("{}")
		// Registries of before OCI 1.1 take the config's type for the artifact's.
		o := oci.Manifest{MediaType: oci.MediaTypeImageManifest, ArtifactType: SignatureType, Config: descriptor(SignatureType, empty),
			Layers: []oci.Descriptor{descriptor(SignatureMediaType, blob)}, Subject: &subject}
		o.SchemaVersion = 2
		b, err := json.Marshal(&o)
		if err != nil {
			return pgerr.Wrap(err, pgerr.InternalError, "could not keep a signature")
		}
		for _, small := range [][]byte{empty, blob} {
			if err := s.putBlob(small); err != nil {
				return err
			}
		}
		d := descriptor(oci.MediaTypeImageManifest, b)
		d.ArtifactType = SignatureType
		if err := s.list(b, d); err != nil {
			return err
		}
	}
	return nil
}

// Signatures returns the signatures of an artifact. They have been right when they
// came; whether their keys are trusted is another question.
func (s *Store) Signatures(digest string) ([]ArtifactSignature, error) {
	all, err := s.listed()
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		if l.digest == digest {
			return s.signaturesOf(l), nil
		}
	}
	return nil, nil
}

func (s *Store) signaturesOf(l listed) []ArtifactSignature {
	var out []ArtifactSignature
	for _, d := range l.signatures {
		m := s.manifestOf(d)
		if m == nil || len(m.Layers) != 1 || m.Layers[0].MediaType != SignatureMediaType || !validDigest(m.Layers[0].Digest.String()) {
			continue
		}
		f, err := os.Open(s.blob(m.Layers[0].Digest.String()))
		if err != nil {
			continue
		}
		b, err := io.ReadAll(io.LimitReader(f, maxSignatures*maxSignatureBytes))
		f.Close()
		if err != nil {
			continue
		}
		if list, err := ParseSignatures(b); err == nil {
			out = append(out, list...)
		}
	}
	return out
}

// SignedBy names the keys that have signed an artifact: by their names in the list
// of trusted keys, others by their ids.
func (s *Store) signedBy(l listed) []string {
	var out []string
	names := map[string]string{}
	if s.keys != nil {
		if k, _, err := s.keys.current(); err == nil {
			names = k
		}
	}
	for _, g := range s.signaturesOf(l) {
		if g.Check(l.digest) != nil {
			continue
		}
		n := names[g.Key]
		if n == "" {
			n = KeyID(g.Key)
			if s.keys != nil {
				n = fmt.Sprintf("%s (not trusted)", n)
			}
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
