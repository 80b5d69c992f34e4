package registry

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	oci "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	layout "oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf"
)

// Prefix starts references to artifacts in registries:
// oci://registry/repository:tag, or …@sha256:… for the digest of its manifest.
const Prefix = "oci://"

// IsReference tells references to registries from other names of artifacts.
func IsReference(s string) bool { return strings.HasPrefix(s, Prefix) }

// Options say how registries are reached. Credentials are those of Docker's
// configuration (docker login, oras login, credential helpers), of the user as
// whom this process runs.
type Options struct {
	PlainHTTP bool // without TLS also where the registry is not on this machine
}

// Bounds of what is read of a registry.
const (
	maxManifest   = 4 << 20
	maxSignature  = 64 << 10
	maxSignatures = 16
)

// connection is a repository of a registry, for one operation.
type connection struct {
	*remote.Repository
	name string // as the user wrote it
	http *http.Transport
}

func (c *connection) close() { c.http.CloseIdleConnections() }

// open parses a reference. Nothing is sent yet.
func open(ref string, o Options) (*connection, error) {
	at, err := registry.ParseReference(strings.TrimPrefix(ref, Prefix))
	if err != nil || !IsReference(ref) {
		return nil, pgerr.New(pgerr.InvalidParameterValue, "invalid reference to a registry: %q", ref).
			WithHint("Write oci://registry/repository:tag or oci://registry/repository@sha256:….")
	}
	if at.Reference == "" {
		return nil, pgerr.New(pgerr.InvalidParameterValue, "the reference %q names no tag and no digest", ref).
			WithHint("Write %s:TAG.", ref)
	}
	creds, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, pgerr.Wrap(err, pgerr.IOError, "could not read the credentials for registries")
	}
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		t = &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	t = t.Clone()
	return &connection{name: ref, http: t, Repository: &remote.Repository{
		Reference: at,
		PlainHTTP: o.PlainHTTP || onThisMachine(at.Host()),
		Client: &auth.Client{Client: &http.Client{Transport: retry.NewTransport(t)}, Cache: auth.NewCache(),
			Credential: credentials.Credential(creds), Header: http.Header{"User-Agent": {"volley"}}},
		MaxMetadataBytes: maxManifest, ReferrerListMaxPages: 10,
	}}, nil
}

// onThisMachine reports whether a host is this one: registries there, those of
// tests and of developers, have no certificates.
func onThisMachine(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// failed makes an error of what a registry said.
func (c *connection) failed(ctx context.Context, err error, what string) error {
	if ctx.Err() != nil {
		return pgerr.From(context.Cause(ctx))
	}
	var pe *pgerr.Error
	if errors.As(err, &pe) {
		return pe
	}
	var re *errcode.ErrorResponse
	switch {
	case errors.As(err, &re) && (re.StatusCode == http.StatusUnauthorized || re.StatusCode == http.StatusForbidden), errors.Is(err, auth.ErrBasicCredentialNotFound):
		return pgerr.Wrap(err, pgerr.InvalidAuthorization, "the registry %s refuses access to %s", c.Reference.Registry, c.name).
			WithHint("Log in with docker login %s, as the user as whom Volley runs here.", c.Reference.Registry)
	case errors.Is(err, errdef.ErrNotFound):
		return pgerr.New(pgerr.UndefinedObject, "artifact %q does not exist", c.name)
	}
	return pgerr.Wrap(err, pgerr.IOError, "could not %s %s", what, c.name)
}

// Push copies an artifact of a store to a registry, with its signatures, and tags
// it. It returns the reference that means these bytes for ever.
func Push(ctx context.Context, store *udf.Store, digest, ref string, o Options) (pinned string, err error) {
	c, err := open(ref, o)
	if err != nil {
		return "", err
	}
	defer c.close()
	if c.Reference.ValidateReferenceAsTag() != nil {
		return "", pgerr.New(pgerr.InvalidParameterValue, "cannot push to a digest: %q", ref).WithHint("Name a tag: oci://registry/repository:tag.")
	}
	defer store.Pin(digest)()
	if _, err := store.Get(digest); err != nil {
		return "", err
	}
	src, err := layout.NewFromFS(ctx, os.DirFS(store.Dir()))
	if err != nil {
		return "", pgerr.Wrap(err, pgerr.IOError, "could not read the artifact store")
	}
	desc, err := oras.ExtendedCopy(ctx, src, udf.Tag(digest), c, c.Reference.Reference, oras.DefaultExtendedCopyOptions)
	if err != nil {
		return "", c.failed(ctx, err, "push to")
	}
	return Prefix + c.Reference.Registry + "/" + c.Reference.Repository + "@" + desc.Digest.String(), nil
}

// Pull copies an artifact from a registry into a store, with its signatures, and
// returns its digest. The store decides about the signatures.
func Pull(ctx context.Context, store *udf.Store, ref string, o Options) (digest string, err error) {
	c, err := open(ref, o)
	if err != nil {
		return "", err
	}
	defer c.close()
	desc, err := c.Resolve(ctx, c.Reference.Reference)
	if err != nil {
		return "", c.failed(ctx, err, "pull")
	}
	layer, err := c.layer(ctx, desc)
	if err != nil {
		return "", err
	}
	digest = layer.Digest.String()
	signatures, err := c.signatures(ctx, desc, digest)
	if err != nil {
		return "", err
	}
	defer store.Hold()()
	if store.Has(digest) && store.AddSignatures(digest, signatures) == nil {
		if _, err := store.Get(digest); err == nil {
			return digest, nil // the bytes are these already
		}
	}
	r, err := c.Blobs().Fetch(ctx, layer)
	if err != nil {
		return "", c.failed(ctx, err, "pull")
	}
	defer r.Close()
	if err := store.PutAs(ctx, digest, r, signatures...); err != nil {
		return "", c.failed(ctx, err, "pull")
	}
	return digest, nil
}

// layer reads a manifest and returns the layer that is the artifact.
func (c *connection) layer(ctx context.Context, desc oci.Descriptor) (oci.Descriptor, error) {
	var none oci.Descriptor
	wrong := pgerr.New(pgerr.WrongObjectType, "%s is not an artifact of functions", c.name).
		WithHint("volley udf push sends artifacts to registries.")
	if desc.MediaType != oci.MediaTypeImageManifest || desc.Size > maxManifest {
		return none, wrong.WithDetail("Its media type is %s.", desc.MediaType)
	}
	b, err := content.FetchAll(ctx, c, desc)
	if err != nil {
		return none, c.failed(ctx, err, "pull")
	}
	var m oci.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return none, wrong
	}
	layer, ok := udf.BundleOf(&m)
	if !ok {
		return none, wrong.WithDetail("The type of the artifact is %q.", m.ArtifactType)
	}
	return layer, nil
}

// signatures reads the signatures that refer to a manifest. Anybody who may push
// there can add some: those that are not right are passed over.
func (c *connection) signatures(ctx context.Context, desc oci.Descriptor, digest string) ([]udf.ArtifactSignature, error) {
	var found []oci.Descriptor
	err := c.Referrers(ctx, desc, udf.SignatureType, func(ds []oci.Descriptor) error {
		found = append(found, ds...)
		return nil
	})
	if err != nil && !errors.Is(err, errdef.ErrNotFound) {
		return nil, c.failed(ctx, err, "read the signatures of")
	}
	var out []udf.ArtifactSignature
	for _, d := range found {
		if len(out) == maxSignatures {
			break
		}
		if d.Size > maxManifest {
			continue
		}
		b, err := content.FetchAll(ctx, c, d)
		if err != nil {
			return nil, c.failed(ctx, err, "read the signatures of")
		}
		var m oci.Manifest
		if json.Unmarshal(b, &m) != nil || len(m.Layers) != 1 || m.Layers[0].MediaType != udf.SignatureMediaType || m.Layers[0].Size > maxSignature {
			continue
		}
		r, err := c.Blobs().Fetch(ctx, m.Layers[0])
		if err != nil {
			return nil, c.failed(ctx, err, "read the signatures of")
		}
		text, err := io.ReadAll(io.LimitReader(r, maxSignature))
		r.Close()
		if err != nil {
			return nil, c.failed(ctx, err, "read the signatures of")
		}
		list, err := udf.ParseSignatures(text)
		if err != nil {
			continue
		}
		for _, g := range list {
			if g.Check(digest) == nil && len(out) < maxSignatures {
				out = append(out, g)
			}
		}
	}
	return out, nil
}
