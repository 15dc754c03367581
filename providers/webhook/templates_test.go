package webhook

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/providertest"
)

func TestTheTemplatesOfAStoreAreParsedOnceForAllRequests(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"value":{"p":"`+r.URL.Path+`"}}`)
	}))
	t.Cleanup(server.Close)
	spec := &stores.Webhook{URL: server.URL + "/{{ .remoteRef.key }}", Headers: map[string]string{"X-Key": "{{ .remoteRef.key | upper }}"}}
	spec.Result.JSONPath = "$.value.{{ .remoteRef.property }}"
	opened, err := Provider{}.Open(t.Context(), providers.Config{Store: "SecretStore a/b", Spec: spec}, &providertest.Env{})
	if err != nil {
		t.Fatal(err)
	}
	s := opened.(*session) //nolint:forcetypeassert // it is ours
	t.Cleanup(func() { _ = s.Close() })
	parsed := s.templates.Parses()
	for i := range 5 {
		key := fmt.Sprint(i)
		results, err := s.Fetch(t.Context(), []providers.Ref{{Key: key}})
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
		if v, err := results[0].Document.Value("p"); err != nil || string(v.Bytes()) != "/"+key {
			t.Errorf("%s, %v", v.Bytes(), err)
		}
	}
	if now := s.templates.Parses(); parsed == 0 || now != parsed {
		t.Errorf("%d texts were parsed when it was opened, and %d after five requests", parsed, now)
	}
}
