package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// randomSecret is one of the secrets that both sides must agree on.
type randomSecret struct {
	name, namespace, scope string
	data                   map[string][]byte
}

// randomSecrets returns secrets of all scopes with values of all kinds; sizes go from nothing to 64 KiB, and one secret
// holds a mebibyte, all that Kubernetes takes. The seed makes a failure repeatable.
func randomSecrets(seed uint64, n int) []randomSecret {
	r := rand.New(rand.NewPCG(seed, seed))
	sizes := []int{0, 1, 15, 16, 17, 31, 32, 33, 255, 256, 1000, 4095, 4096}
	alphabet := []rune("aé密🔑\n\t\"'\\:#-{}[]&*!|>%@` ~0Yn")
	out := make([]randomSecret, n)
	for i := range out {
		s := randomSecret{name: fmt.Sprintf("s%d.%x", i, r.Uint32()), namespace: fmt.Sprintf("ns-%d", r.IntN(5)), scope: string(scopes()[i%3]), data: map[string][]byte{}}
		for k := range 1 + r.IntN(3) {
			value := make([]byte, sizes[r.IntN(len(sizes))])
			switch {
			case i == 0 && k == 0:
				value = make([]byte, 1<<20)
			case i%100 == 1:
				value = make([]byte, 64<<10)
			}
			for j := range value {
				value[j] = byte(r.Uint32())
			}
			if r.IntN(2) == 0 {
				text := []rune{}
				for range len(value) / 4 {
					text = append(text, alphabet[r.IntN(len(alphabet))])
				}
				value = []byte(string(text))
			}
			s.data[fmt.Sprintf("%c%x._-", 'A'+r.IntN(26)+32*r.IntN(2), r.Uint32())] = value
		}
		out[i] = s
	}
	return out
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
		secrets := randomSecrets(seed, 1000)
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
			out, stderr, ok := s.theirs(t, string(one), "--recovery-unseal", "--recovery-private-key", s.key)
			if !ok {
				t.Fatalf("seed %d: %s", seed, stderr)
			}
			plain += out
		}
		opened(t, seed, plain, secrets)
	})
}

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
