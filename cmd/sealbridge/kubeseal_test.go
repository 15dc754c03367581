package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// sides runs the same command line in the real kubeseal and in ours.
type sides struct {
	real string
	pair *keyring.Pair
	cert string
	key  string
}

func newSides(t *testing.T) sides {
	t.Helper()
	real := process.Require(t, "kubeseal")
	pair, err := keyring.Generate(keyring.Options{Bits: 2048, NotBefore: time.Now().Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	s := sides{real: real, pair: pair, cert: filepath.Join(t.TempDir(), "cert.pem"), key: filepath.Join(t.TempDir(), "key.pem")}
	if err := os.WriteFile(s.cert, pair.CertificatePEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.key, pair.PrivateKeyPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s sides) theirs(t *testing.T, stdin string, args ...string) (stdout, stderr string, ok bool) {
	t.Helper()
	return execute(t, s.real, stdin, args...)
}

// elsewhere is an environment of a process without a home or a cluster. Kubeseal leaves a file where temporary ones go when it fails
// before it has written its output.
func elsewhere(t *testing.T) []string {
	t.Helper()
	return []string{"HOME=/nonexistent", "KUBECONFIG=/nonexistent/config", "TMPDIR=" + t.TempDir()}
}

// execute runs a command as a process.
func execute(t *testing.T, path, stdin string, args ...string) (stdout, stderr string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = elsewhere(t)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return out.String(), errs.String(), err == nil
}

func (s sides) ours(t *testing.T, stdin string, args ...string) (stdout, stderr string, ok bool) {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), append([]string{"kubeseal"}, args...), host{
		stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs,
		env: func(string) (string, bool) { return "", false },
	})
	return out.String(), errs.String(), code == 0
}

// both returns what the two commands write with every ciphertext replaced, so that only shape and order are left.
func (s sides) both(t *testing.T, stdin string, args ...string) (theirs, ours string) {
	t.Helper()
	args = append(args, "--cert", s.cert)
	a, stderr, ok := s.theirs(t, stdin, args...)
	if !ok {
		t.Fatalf("kubeseal: %s", stderr)
	}
	b, stderr, ok := s.ours(t, stdin, args...)
	if !ok {
		t.Fatalf("ours: %s", stderr)
	}
	return long.ReplaceAllString(a, "SEALED"), long.ReplaceAllString(b, "SEALED")
}

func TestTheOutputIsKubesealsByteForByte(t *testing.T) {
	t.Parallel()
	s := newSides(t)
	const plain = "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: payments}\nstringData: {b: x, a: w}\n"
	inputs := map[string]string{
		"a Secret":                    plain,
		"two Secrets":                 plain + "---\n" + plain,
		"concatenated JSON":           `{"metadata":{"name":"a","namespace":"ns"},"data":{"k":"dg=="}}{"metadata":{"name":"b","namespace":"ns"},"data":{"k":"dg=="}}`,
		"everything a Secret can say": "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: payments, labels: {z: '1', a: <&>}, annotations: {note: \"ä\\nb\"}, finalizers: [a/b, c/d], generateName: x}\ntype: kubernetes.io/tls\nimmutable: false\ndata: {tls.crt: eA==, tls.key: eA==}\nstringData: {tls.key: w}\n",
		"what a server added":         "metadata: {name: db, namespace: payments, uid: u, resourceVersion: '1', generation: 2, creationTimestamp: '2026-01-01T00:00:00Z', selfLink: /x, ownerReferences: [{apiVersion: v1, kind: X, name: y, uid: z}], annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}'}}\ndata: {k: dg==}\n",
		"a namespace-wide annotation": "metadata: {name: db, namespace: payments, annotations: {sealedsecrets.bitnami.com/namespace-wide: 'true'}}\ndata: {k: dg==}\n",
		"a cluster-wide annotation":   "metadata: {name: db, annotations: {sealedsecrets.bitnami.com/cluster-wide: 'true', sealedsecrets.bitnami.com/managed: 'true'}}\ndata: {k: dg==}\n",
		"both annotations":            "metadata: {name: db, namespace: x, annotations: {sealedsecrets.bitnami.com/cluster-wide: 'true', sealedsecrets.bitnami.com/namespace-wide: 'true'}}\ndata: {k: dg==}\n",
		"empty values":                "metadata: {name: db, namespace: payments}\ndata: {k: ''}\nstringData: {l: ''}\n",
		"empty maps":                  "metadata: {name: db, namespace: payments, labels: {}, annotations: {}, finalizers: []}\ndata: {k: dg==}\n",
	}
	flags := map[string][]string{
		"json": {}, "yaml": {"-o", "yaml"}, "YAML": {"--format", "YAML"}, "namespace-wide": {"-o", "yaml", "--scope", "namespace-wide", "-n", "payments"},
		"cluster-wide": {"--scope", "cluster-wide", "-o", "yaml"}, "name": {"--name", "other", "-o", "json"}, "allow empty": {"--allow-empty-data"},
		"standard input by its name": {"-", "-o", "yaml"},
	}
	for input, text := range inputs {
		for name, args := range flags {
			if name == "namespace-wide" && !strings.Contains(text, "namespace: payments") {
				continue
			}
			t.Run(input+" "+name, func(t *testing.T) {
				t.Parallel()
				theirs, ours := s.both(t, text, args...)
				if diff := cmp.Diff(theirs, ours); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestErrorsHaveKubesealsWords(t *testing.T) {
	t.Parallel()
	s := newSides(t)
	for name, c := range map[string]struct {
		stdin string
		args  []string
	}{
		"nothing":            {"", nil},
		"no data":            {"metadata: {name: a, namespace: ns}\n", nil},
		"no name":            {"metadata: {namespace: ns}\ndata: {k: dg==}\n", nil},
		"no namespace":       {"metadata: {name: a}\ndata: {k: dg==}\n", nil},
		"another namespace":  {"metadata: {name: a, namespace: ns}\ndata: {k: dg==}\n", []string{"-n", "other"}},
		"an unknown format":  {"metadata: {name: a, namespace: ns}\ndata: {k: dg==}\n", []string{"-o", "xml"}},
		"raw without a name": {"v", []string{"--raw", "-n", "ns"}},
		"from-file, no raw":  {"", []string{"--from-file", "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append(c.args, "--cert", s.cert)
			_, theirs, ok := s.theirs(t, c.stdin, args...)
			if ok {
				t.Fatal("kubeseal accepts it")
			}
			stdout, ours, ok := s.ours(t, c.stdin, args...)
			if ok || stdout != "" {
				t.Fatal("we accept it")
			}
			first, _, _ := strings.Cut(ours, "\n")
			if want := strings.TrimSpace(theirs); first != want {
				t.Errorf("\n got %s\nwant %s", first, want)
			}
		})
	}
}

// Scripts look at nothing else.
func TestTheExitCodesAreKubeseals(t *testing.T) {
	t.Parallel()
	s := newSides(t)
	dir := t.TempDir()
	expired, err := keyring.Generate(keyring.Options{Bits: 1024, NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), Validity: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"expired.pem": string(expired.CertificatePEM()),
		"secret.yaml": "metadata: {name: a, namespace: ns}\ndata: {k: dg==}\n", "broken.yaml": "a: [b\n", "rubbish.pem": "rubbish",
		"sealed.yaml": "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: a, namespace: ns}\nspec: {encryptedData: {k: AQAA}}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for args, want := range map[string]int{
		"--bogus":                               2,
		"-Z":                                    2,
		"--cert":                                2,
		"--raw=maybe":                           2,
		"--v=x":                                 2,
		"--scope everywhere --cert CERT":        2,
		"--help":                                0,
		"--cert CERT -f DIR/secret.yaml":        0,
		"--cert CERT -f DIR/secret.yaml -o xml": 1,
		"--cert CERT -f DIR/secret.yaml -n other":                                     1,
		"--cert CERT -f DIR/missing.yaml":                                             1,
		"--cert CERT -f DIR/broken.yaml":                                              1,
		"--cert CERT -f DIR/secret.yaml -w DIR/missing/x.yaml":                        1,
		"--cert DIR/missing.pem -f DIR/secret.yaml":                                   1,
		"--cert DIR/rubbish.pem -f DIR/secret.yaml":                                   1,
		"--cert DIR/expired.pem -f DIR/secret.yaml":                                   1,
		"--cert http://[::1 -f DIR/secret.yaml":                                       1,
		"-f DIR/secret.yaml":                                                          1,
		"--fetch-cert":                                                                1,
		"--validate -f DIR/sealed.yaml":                                               1,
		"--re-encrypt -f DIR/sealed.yaml":                                             1,
		"--cert CERT --from-file x":                                                   1,
		"--cert CERT --raw":                                                           1,
		"--cert CERT --raw -n ns":                                                     1,
		"--cert CERT --raw -n ns --name a --from-file CERT --from-file CERT":          1,
		"--cert CERT --raw -n ns --name a --from-file DIR/missing":                    1,
		"--cert CERT --merge-into DIR/missing.yaml -f DIR/secret.yaml":                1,
		"--recovery-unseal -f DIR/sealed.yaml":                                        1,
		"--recovery-unseal --recovery-private-key DIR/rubbish.pem -f DIR/sealed.yaml": 1,
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			fields := strings.Fields(strings.NewReplacer("CERT", s.cert, "DIR", dir).Replace(args))
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			theirs := exec.CommandContext(ctx, s.real, fields...)
			theirs.Env = elsewhere(t)
			_ = theirs.Run() // its code is looked at
			ours := run(t.Context(), append([]string{"kubeseal"}, fields...), host{
				stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, env: func(string) (string, bool) { return "", false },
			})
			if theirs.ProcessState.ExitCode() != want || ours != want {
				t.Errorf("kubeseal: %d, ours: %d, want %d", theirs.ProcessState.ExitCode(), ours, want)
			}
		})
	}
}

func values() map[string][]byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return map[string][]byte{
		"empty": {}, "newline": []byte("v\n"), "unicode": []byte("pässwörd-密码-🔑"), "binary": all, "mebibyte": bytes.Repeat(all, 4096),
	}
}

func scopes() []seal.Scope { return []seal.Scope{seal.Strict, seal.NamespaceWide, seal.ClusterWide} }

func TestWhatKubesealSealsWeOpen(t *testing.T) {
	t.Parallel()
	s := newSides(t)
	for what, value := range values() {
		for _, scope := range scopes() {
			t.Run(what+" "+string(scope), func(t *testing.T) {
				t.Parallel()
				file := filepath.Join(t.TempDir(), "value")
				if err := os.WriteFile(file, value, 0o600); err != nil {
					t.Fatal(err)
				}
				raw, stderr, ok := s.theirs(t, "", "--raw", "--cert", s.cert, "--scope", string(scope), "-n", "payments", "--name", "db", "--from-file", file)
				if !ok {
					t.Fatal(stderr)
				}
				got, err := seal.NewOpener(keyring.New(s.pair), "", 0).Open(t.Context(), scope, "payments", "db", raw)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, value) {
					t.Error("the opened value differs")
				}
			})
		}
	}
}

func TestWhatWeSealKubesealOpens(t *testing.T) {
	t.Parallel()
	s := newSides(t)
	for _, scope := range scopes() {
		for _, how := range []string{"whole", "raw", "merged"} {
			t.Run(string(scope)+" "+how, func(t *testing.T) {
				t.Parallel()
				data := map[string]any{}
				for what, value := range values() {
					if what == "mebibyte" && (scope != seal.Strict || how != "whole") {
						continue // YAML of that size takes the race detector seconds
					}
					data[what] = base64.StdEncoding.EncodeToString(value)
				}
				sealed := sealedBy(t, s, scope, how, data)
				stdout, stderr, ok := s.theirs(t, sealed, "--recovery-unseal", "--recovery-private-key", s.key, "-o", "yaml")
				if !ok {
					t.Fatal(stderr)
				}
				var got map[string]any
				if err := yaml.Unmarshal([]byte(stdout), &got); err != nil {
					t.Fatal(err)
				}
				for key, value := range got["data"].(map[string]any) {
					if value == nil { // what kubeseal writes for an empty value
						got["data"].(map[string]any)[key] = ""
					}
				}
				if diff := cmp.Diff(data, got["data"], cmp.Transformer("length", func(s string) string {
					return fmt.Sprintf("%d %.20s", len(s), s)
				})); diff != "" {
					t.Error(diff)
				}
				mine, stderr, ok := s.ours(t, sealed, "--recovery-unseal", "--recovery-private-key", s.key, "-o", "yaml")
				if !ok {
					t.Fatal(stderr)
				}
				// Ours has no owner: the cluster with the SealedSecret's uid is lost.
				meta := got["metadata"].(map[string]any)
				delete(meta, "ownerReferences")
				var recovered map[string]any
				if err := yaml.Unmarshal([]byte(mine), &recovered); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(got, recovered); diff != "" {
					t.Error("we recover something else than kubeseal")
				}
			})
		}
	}
}

// sealedBy returns a SealedSecret of our making: from a whole Secret, from single values, or merged into one of kubeseal's.
func sealedBy(t *testing.T, s sides, scope seal.Scope, how string, data map[string]any) string {
	t.Helper()
	must := func(stdout, stderr string, ok bool) string {
		t.Helper()
		if !ok {
			t.Fatal(stderr)
		}
		return stdout
	}
	secret := func(data any) string {
		text, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "db", "namespace": "payments"}, "data": data})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	flags := []string{"--cert", s.cert, "--scope", string(scope), "-o", "yaml"}
	switch how {
	case "whole":
		return must(s.ours(t, secret(data), flags...))
	case "raw":
		encrypted := map[string]any{}
		for key, text := range data {
			value, err := base64.StdEncoding.DecodeString(text.(string))
			if err != nil {
				t.Fatal(err)
			}
			encrypted[key] = must(s.ours(t, string(value), append(flags, "--raw", "-n", "payments", "--name", "db")...))
		}
		text, err := yaml.Marshal(map[string]any{"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
			"metadata": map[string]any{"name": "db", "namespace": "payments", "annotations": map[string]any{"sealedsecrets.bitnami.com/" + string(scope): "true"}},
			"spec":     map[string]any{"encryptedData": encrypted}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	default:
		file := filepath.Join(t.TempDir(), "sealed.yaml")
		if err := os.WriteFile(file, []byte(must(s.theirs(t, secret(map[string]any{"empty": "b2xk"}), flags...))), 0o600); err != nil {
			t.Fatal(err)
		}
		must(s.ours(t, secret(data), "--cert", s.cert, "--merge-into", file))
		merged, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(merged)
	}
}
