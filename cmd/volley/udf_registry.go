package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/volleydb/volley/udf"
	"github.com/volleydb/volley/udf/registry"
)

func addRegistryFlags(cmd *cobra.Command) {
	cmd.Flags().Bool("plain-http", false, "talk to the registry without TLS, also where it is not on this machine")
}

func registryOptions(cmd *cobra.Command) registry.Options {
	plain, _ := cmd.Flags().GetBool("plain-http")
	return registry.Options{PlainHTTP: plain}
}

// isFile tells an artifact's file from the name of an artifact in a store.
func isFile(arg string) bool {
	_, err := os.Stat(arg)
	return !errors.Is(err, fs.ErrNotExist) || strings.HasSuffix(arg, ".vudf")
}

// temporaryStore is a store that remove ends.
func temporaryStore() (s *udf.Store, remove func(), err error) {
	tmp, err := os.MkdirTemp("", "volley-store-")
	if err != nil {
		return nil, nil, err
	}
	remove = func() { _ = os.RemoveAll(tmp) }
	if s, err = udf.OpenStore(tmp); err != nil {
		remove()
		return nil, nil, err
	}
	return s, remove, nil
}

// storeOf opens the store that has the artifact which arg names: of the data
// directory, or a temporary one that holds a file.
func storeOf(cmd *cobra.Command, arg string) (s *udf.Store, digest string, remove func(), err error) {
	if !isFile(arg) {
		if s, err = openArtifacts(cmd); err == nil {
			digest, err = s.Resolve(arg)
		}
		return s, digest, func() {}, err
	}
	if s, remove, err = temporaryStore(); err != nil {
		return nil, "", nil, err
	}
	if digest, err = s.PutFile(cmd.Context(), arg); err != nil {
		remove()
		return nil, "", nil, err
	}
	return s, digest, remove, nil
}

// pushToRegistry is volley udf push NAME|FILE oci://….
func pushToRegistry(cmd *cobra.Command, arg, ref string) error {
	if host, _ := cmd.Flags().GetString("host"); host != "" {
		return errors.New("an artifact goes to a server (--host) or to a registry, not to both")
	}
	s, digest, remove, err := storeOf(cmd, arg)
	if err != nil {
		return err
	}
	defer remove()
	pinned, err := registry.Push(cmd.Context(), s, digest, ref, registryOptions(cmd))
	if err != nil {
		return err
	}
	m, err := s.Manifest(digest)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s@%s\n%s\n\n%s", m.Name, digest, pinned, declarationsAs(m, pinned))
	return nil
}

func newUDFPull() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pull oci://REGISTRY/REPOSITORY:TAG",
		Short: "Fetch an artifact from a registry",
		Long: `Fetches an artifact, with its signatures, into the data directory, where a server
that runs on it finds it, too; with --host to a server, with -o into a file.
The reference may also end in @sha256:… . Credentials are those of Docker's
configuration.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f := cmd.Flags()
			host, _ := f.GetString("host")
			out, _ := f.GetString("output")
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			if host == "" && out == "" {
				s, err := openArtifacts(cmd)
				if err != nil {
					return err
				}
				digest, err := registry.Pull(ctx, s, args[0], registryOptions(cmd))
				if err != nil {
					return err
				}
				return printPulled(cmd, s, digest)
			}
			s, remove, err := temporaryStore()
			if err != nil {
				return err
			}
			defer remove()
			digest, err := registry.Pull(ctx, s, args[0], registryOptions(cmd))
			if err != nil {
				return err
			}
			path, err := s.Get(digest)
			if err != nil {
				return err
			}
			list, err := s.Signatures(digest)
			if err != nil {
				return err
			}
			if out != "" {
				if err := writeArtifact(path, out, list); err != nil {
					return err
				}
			}
			if host != "" {
				if err := putArtifact(ctx, cmd, path, list); err != nil {
					return err
				}
			}
			return printPulled(cmd, s, digest)
		},
	}
	addClientFlags(cmd)
	addRegistryFlags(cmd)
	cmd.Flags().StringP("output", "o", "", "write the artifact to this `file`, and its signatures to FILE.sig")
	return cmd
}

func printPulled(cmd *cobra.Command, s *udf.Store, digest string) error {
	m, err := s.Manifest(digest)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s@%s\n\n%s", m.Name, digest, declarations(m, digest))
	return nil
}

// writeArtifact copies an artifact out of a store, with its signatures beside it.
func writeArtifact(from, to string, list []udf.ArtifactSignature) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, data, 0o644); err != nil {
		return err
	}
	if len(list) == 0 {
		return nil
	}
	return os.WriteFile(to+udf.SignatureSuffix, udf.FormatSignatures(list), 0o644)
}

// putArtifact uploads an artifact's file with its signatures to the server of
// --host.
func putArtifact(ctx context.Context, cmd *cobra.Command, path string, list []udf.ArtifactSignature) (err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	c, err := connect(ctx, cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	const byteaOID, textOID, binary = 17, 25, 1
	signatures := append([]byte{}, udf.FormatSignatures(list)...) // nil would be NULL
	r := c.conn.ExecParams(ctx, "SELECT volley.put_artifact($1, $2)", [][]byte{data, signatures},
		[]uint32{byteaOID, textOID}, []int16{binary, binary}, nil).Read()
	if r.Err != nil {
		return reported(cmd, r.Err)
	}
	return nil
}

func newUDFSign() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sign --key FILE ARTIFACT",
		Short: "Sign an artifact",
		Long: `Vouches for an artifact with an ed25519 key (volley udf keygen). Of a file, the
signature goes to FILE.sig, from where volley udf push takes it; otherwise ARTIFACT
is name@digest in the data directory. Servers and workers that are started with
--udf-trusted-keys take nothing without a signature by one of those keys.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, _ := cmd.Flags().GetString("key")
			if path == "" {
				return errors.New("--key FILE is missing: volley udf keygen makes a key")
			}
			key, err := udf.ReadSigningKey(path)
			if err != nil {
				return err
			}
			s, digest, remove, err := storeOf(cmd, args[0])
			if err != nil {
				return err
			}
			defer remove()
			if err := s.AddSignatures(digest, []udf.ArtifactSignature{key.Sign(digest)}); err != nil {
				return err
			}
			m, err := s.Manifest(digest)
			if err != nil {
				return err
			}
			if isFile(args[0]) {
				list, err := s.Signatures(digest)
				if err != nil {
					return err
				}
				if err := os.WriteFile(args[0]+udf.SignatureSuffix, udf.FormatSignatures(list), 0o644); err != nil {
					return err
				}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s@%s\nsigned by %s\n", m.Name, digest, udf.KeyID(key.Public()))
			return nil
		},
	}
	addDataFlag(cmd.Flags())
	cmd.Flags().String("key", "", "`file` of the private key")
	return cmd
}

func newUDFKeygen() *cobra.Command {
	return &cobra.Command{
		Use:   "keygen NAME",
		Short: "Make a key for signing artifacts",
		Long: `Writes the private key to NAME.pem and the public one to NAME.pub, a line for the
file that --udf-trusted-keys names.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := udf.NewSigningKey()
			if err != nil {
				return err
			}
			if err := k.WriteFile(args[0] + ".pem"); err != nil {
				return err
			}
			line := udf.TrustedLine(k.Public(), filepath.Base(args[0]))
			if err := os.WriteFile(args[0]+".pub", []byte(line+"\n"), 0o644); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s\nprivate key %s.pem\n%s\n", udf.KeyID(k.Public()), args[0], line)
			return nil
		},
	}
}

// signedBy is a line about signatures.
func signedBy(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "  signed by " + strings.Join(slices.Sorted(slices.Values(names)), ", ") + "\n"
}
