package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// randomSecret is one of the secrets that both sides must agree on.
type randomSecret struct {
	name, namespace, scope string
	data                   map[string][]byte
}

// randomSizes draws sizes from nothing to the mebibyte that Kubernetes takes: both ends of the range, sizes around the blocks
// of the ciphers, and any others, small ones more often, until so many bytes are used up; then small ones alone.
type randomSizes struct {
	*rand.Rand

	drawn, budget int
}

func (r *randomSizes) next() int {
	const most = 1 << 20
	edges := []int{most, 0, 1, 15, 16, 17, 31, 32, 33, 255, 256, 4095, 4096, 64<<10 - 1, 64 << 10, 64<<10 + 1}
	size := r.IntN(2 + r.IntN(most)>>r.IntN(20))
	if r.drawn < len(edges) {
		size = edges[r.drawn]
	}
	r.drawn++
	if size > r.budget {
		size = r.IntN(257)
	}
	r.budget -= size
	return size
}

// value returns random bytes, or as many bytes of text, of the next size.
func (r *randomSizes) value() []byte {
	value := make([]byte, r.next())
	if r.IntN(2) == 0 {
		alphabet := []rune("aé密🔑\n\t\"'\\:#-{}[]&*!|>%@` ~0Yn")
		text := []byte{}
		for len(text) < len(value) {
			text = append(text, string(alphabet[r.IntN(len(alphabet))])...)
		}
		if utf8.Valid(text[:len(value)]) {
			return text[:len(value)]
		}
	}
	for i := range value {
		value[i] = byte(r.Uint32())
	}
	return value
}

// randomSecrets returns secrets of all scopes with values of all kinds. The seed makes a failure repeatable.
func randomSecrets(seed uint64, n int) []randomSecret {
	r := &randomSizes{Rand: rand.New(rand.NewPCG(seed, seed)), budget: 5 << 20}
	out := make([]randomSecret, n)
	for i := range out {
		s := randomSecret{name: fmt.Sprintf("s%d.%x", i, r.Uint32()), namespace: fmt.Sprintf("ns-%d", r.IntN(5)), scope: string(scopes()[i%3]), data: map[string][]byte{}}
		for range 1 + r.IntN(4) {
			s.data[fmt.Sprintf("%c%x._-", 'A'+r.IntN(26)+32*r.IntN(2), r.Uint32())] = r.value()
		}
		out[i] = s
	}
	return out
}

// unicode is a key that Kubernetes does not take and kubeseal does.
func unicode(key string) string { return "ключ-密🔑 " + key }

// withUnicodeKeys renames keys, which nothing binds to their values.
func withUnicodeKeys(secrets []randomSecret) []randomSecret {
	for _, s := range secrets {
		for key, value := range maps.Clone(s.data) {
			delete(s.data, key)
			s.data[unicode(key)] = value
		}
	}
	return secrets
}

// manifests returns the secrets as a stream: every other one in JSON, the rest in YAML.
func manifests(secrets []randomSecret) string {
	var out strings.Builder
	for i, s := range secrets {
		data := map[string]string{}
		for k, v := range s.data {
			data[k] = base64.StdEncoding.EncodeToString(v)
		}
		text, _ := json.Marshal(map[string]any{
			"apiVersion": "v1", "kind": "Secret", "data": data,
			"metadata": map[string]any{"name": s.name, "namespace": s.namespace, "annotations": map[string]string{"sealedsecrets.bitnami.com/" + s.scope: "true"}},
		})
		if i%2 == 0 {
			out.WriteString("---\n" + string(text) + "\n")
			continue
		}
		fmt.Fprintf(&out, "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\n  namespace: %s\n  annotations: {sealedsecrets.bitnami.com/%s: \"true\"}\ndata:\n", s.name, s.namespace, s.scope)
		for k, v := range data {
			fmt.Fprintf(&out, "  %q: %q\n", k, v)
		}
	}
	return out.String()
}

// opened compares a stream of recovered Secrets in JSON with what was sealed.
func opened(t *testing.T, seed uint64, stream string, want []randomSecret) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(stream))
	for i, s := range want {
		var got struct {
			Metadata struct{ Name, Namespace string }
			Data     map[string][]byte
		}
		if err := d.Decode(&got); err != nil {
			t.Fatalf("seed %d: secret %d of %d: %v", seed, i, len(want), err)
		}
		if got.Metadata.Name != s.name || len(got.Data) != len(s.data) {
			t.Fatalf("seed %d: secret %d is %s with %d keys", seed, i, got.Metadata.Name, len(got.Data))
		}
		for key, value := range s.data {
			if !bytes.Equal(got.Data[key], value) {
				t.Errorf("seed %d: secret %d (%s): %s of %d bytes differs", seed, i, s.scope, key, len(value))
			}
		}
	}
	if d.More() {
		t.Errorf("seed %d: more came out than went in", seed)
	}
}

// Thousands of values go through few processes, so that it costs seconds.
func TestThousandsOfRandomValuesOpenOnTheOtherSide(t *testing.T) {
	t.Parallel()
	s := newSides(t)
	t.Run("kubeseal seals, we open", func(t *testing.T) {
		t.Parallel()
		seed := rand.Uint64()
		secrets := withUnicodeKeys(randomSecrets(seed, 1000))
		sealed, stderr, ok := s.theirs(t, manifests(secrets), "--cert", s.cert)
		if !ok {
			t.Fatalf("seed %d: %s", seed, stderr)
		}
		plain, stderr, ok := s.ours(t, sealed, "--recovery-unseal", "--recovery-private-key", s.key)
		if !ok {
			t.Fatalf("seed %d: %s", seed, stderr)
		}
		opened(t, seed, plain, secrets)
	})
	t.Run("we seal, kubeseal opens", func(t *testing.T) {
		t.Parallel()
		seed := rand.Uint64()
		secrets := gathered(randomSecrets(seed, 1000))
		sealed, stderr, ok := s.ours(t, manifests(secrets), "--cert", s.cert)
		if !ok {
			t.Fatalf("seed %d: %s", seed, stderr)
		}
		d := json.NewDecoder(strings.NewReader(sealed))
		plain := ""
		for d.More() { // kubeseal opens one object a run
			var one json.RawMessage
			if err := d.Decode(&one); err != nil {
				t.Fatal(err)
			}
			out, stderr, ok := s.theirs(t, keyInSealed.ReplaceAllString(string(one), `"`+unicode("$1")+`": "AQ`), "--recovery-unseal", "--recovery-private-key", s.key)
			if !ok {
				t.Fatalf("seed %d: %s", seed, stderr)
			}
			plain += out
		}
		opened(t, seed, plain, withUnicodeKeys(secrets))
	})
}

// keyInSealed is a key of encryptedData with the beginning of its value, which an RSA-2048 key sealed.
var keyInSealed = regexp.MustCompile(`"([A-Za-z][0-9a-f]+\._-[0-9]*)": "AQ`)

// gathered puts the values of many secrets into two for each scope.
func gathered(secrets []randomSecret) []randomSecret {
	out := make([]randomSecret, 6)
	for i, s := range secrets {
		into := &out[i%6]
		if into.data == nil {
			*into = s
			continue
		}
		for key, value := range s.data {
			into.data[fmt.Sprintf("%s%d", key, i)] = value
		}
	}
	return out
}

// framed returns the plaintext that docs/spec/sealed-formats.md specifies: the place of the value, and the value.
func framed(scope seal.Scope, namespace, name string, value []byte) []byte {
	number := map[seal.Scope]byte{seal.Strict: 1, seal.NamespaceWide: 2, seal.ClusterWide: 3}[scope]
	if number == 3 {
		namespace = ""
	}
	if number != 1 {
		name = ""
	}
	out := append([]byte("sealbridge.dev/1"), number, byte(len(namespace)))
	out = append(append(out, namespace...), byte(len(name)))
	return append(append(out, name...), value...)
}

// The plain age tool and we must agree on the native format, in both directions.
func TestRandomNativeValuesPassBetweenAgeAndUs(t *testing.T) {
	t.Parallel()
	process.Require(t, "age-keygen")
	const values = 100
	seed := rand.Uint64()
	r := &randomSizes{Rand: rand.New(rand.NewPCG(seed, seed)), budget: 4 << 20}
	dir := t.TempDir()
	shell(t, dir, "umask 077; mkdir plain ages ours opened; for i in 0 1 2; do age-keygen -pq -o key$i.txt 2>/dev/null; age-keygen -y key$i.txt > to$i.txt; done")
	var ring *keyring.Ring
	var recipients []*agebox.Recipient
	for i := range 3 {
		text, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("key%d.txt", i)))
		if err != nil {
			t.Fatal(err)
		}
		identity, err := keyring.ParseIdentity(text, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		ring = ring.With(identity)
		recipients = append(recipients, identity.Recipient())
	}
	type place struct {
		scope           seal.Scope
		namespace, name string
	}
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	places, plain := make([]place, values), make([][]byte, values)
	var commands strings.Builder
	for i := range values {
		p := place{scopes()[i%3], strings.Repeat("n", 1+r.IntN(255)), strings.Repeat("密", 1+r.IntN(85))}
		value, to := r.value(), recipients[:1+r.IntN(3)]
		places[i], plain[i] = p, value
		write("plain/"+strconv.Itoa(i), framed(p.scope, p.namespace, p.name, value))
		text, err := seal.Seal(nil, seal.Native(to...), p.scope, p.namespace, p.name, value)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		sealed, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		write("ours/"+strconv.Itoa(i), sealed)
		fmt.Fprintf(&commands, "age -R to%d.txt -o ages/%d plain/%d; age -d -i key%d.txt -o opened/%d ours/%d\n", r.IntN(3), i, i, r.IntN(len(to)), i, i)
	}
	shell(t, dir, commands.String())
	for i, p := range places {
		if got := read("opened/" + strconv.Itoa(i)); !bytes.Equal(got, read("plain/"+strconv.Itoa(i))) {
			t.Errorf("seed %d: value %d of %d bytes (%s): age reads another plaintext than is specified", seed, i, len(plain[i]), p.scope)
		}
		text := base64.StdEncoding.EncodeToString(read("ages/" + strconv.Itoa(i)))
		got, err := seal.NewOpener(ring, "", 0).Open(t.Context(), p.scope, p.namespace, p.name, text)
		if err != nil || !bytes.Equal(got, plain[i]) {
			t.Errorf("seed %d: value %d of %d bytes (%s), which age sealed: %v", seed, i, len(plain[i]), p.scope, err)
		}
		if _, err := seal.NewOpener(ring, "", 0).Open(t.Context(), p.scope, p.namespace+"x", p.name+"x", text); p.scope != seal.ClusterWide && err == nil {
			t.Errorf("seed %d: value %d (%s) opens elsewhere", seed, i, p.scope)
		}
	}
}
