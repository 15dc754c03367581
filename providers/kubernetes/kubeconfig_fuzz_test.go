package kubernetes

import (
	"errors"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/providers"
)

// FuzzAKubeconfigIsReadOrRefused: whatever a Secret holds, it is read or refused as invalid, and the error shows nothing of it.
func FuzzAKubeconfigIsReadOrRefused(f *testing.F) {
	const canary = "s3cr3t-canary"
	for _, part := range []string{`{"token":"TOKEN"}`, `{"exec":{"command":"TOKEN"}}`, `{"TOKEN":1}`, `{"as-groups":[]}`, `[]`, `null`, `"TOKEN"`, `{"client-key-data":"TOKEN"}`} {
		f.Add([]byte(`{"current-context":"a","contexts":[{"name":"a","context":{"cluster":"b","user":"c"}}],"clusters":[{"name":"b","cluster":` + part +
			`}],"users":[{"name":"c","user":` + part + `}]}`))
		f.Add([]byte("current-context: a\ncontexts: [{name: a, context: {cluster: b, user: c}}]\nclusters:\n- name: b\n  cluster: {server: 'https://x'}\nusers:\n- {name: c, user: " + part + "}\n"))
	}
	f.Add([]byte("current-context: TOKEN\na: &a [*a, *a]\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		raw = []byte(strings.ReplaceAll(string(raw), "TOKEN", canary))
		if _, err := readKubeconfig(raw); err != nil && (!errors.Is(err, providers.ErrInvalid) || strings.Contains(err.Error(), canary)) {
			t.Errorf("error %v", err)
		}
	})
}
