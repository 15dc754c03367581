package sealedsecret_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/sealedsecret"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

func TestWithSkipRecreateASecretStaysAsItIsUntilItsSealedSecretChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deps = func(d *sealedsecret.Deps) { d.SkipRecreate = true }
	var wide, keys atomic.Int32
	w.fault = func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if req.Method != http.MethodGet || !strings.HasSuffix(req.URL.Path, "/secrets") {
			return nil, nil
		}
		if !strings.Contains(req.URL.Query().Get("labelSelector"), "sealed-secrets-key") {
			wide.Add(1)
		}
		resp, err := next.RoundTrip(req)
		if err == nil && resp.StatusCode == http.StatusOK && req.URL.Query().Get("watch") != "" { // not one that an older API server refuses
			keys.Add(1)
		}
		return resp, err
	}
	w.start()
	gone, edited := w.object("gone", map[string]string{"k": canary}), w.object("edited", map[string]string{"k": canary})
	w.create(gone)
	w.create(edited)
	w.synced("gone")
	w.synced("edited")
	if err := w.client.Delete(t.Context(), w.secret("gone")); err != nil {
		t.Fatal(err)
	}
	update(w, w.secret("edited"), func(s *corev1.Secret) { s.Data["k"] = []byte("by hand") })
	w.stop()
	w.start() // also with what only the status says
	w.create(w.object("last", map[string]string{"k": "1"}))
	w.synced("last")
	settle(w)
	if w.secret("gone") != nil || w.data("edited")["k"] != "by hand" {
		t.Error("a Secret was repaired")
	}
	if n := wide.Load(); n > 0 {
		t.Errorf("Secrets that are no sealing keys are listed or watched %d times", n)
	}
	if n := keys.Load(); n > 2 { // those of both formats
		t.Errorf("%d watches of sealing keys, want two at most", n)
	}
	for _, obj := range []*v1alpha1.SealedSecret{gone, edited} {
		update(w, obj, func(s *v1alpha1.SealedSecret) { s.Spec.EncryptedData["k"] = w.sealed(seal.Strict, s.Name, "new") })
	}
	for _, name := range []string{"gone", "edited"} {
		w.eventually("the new value of "+name, func() bool { return w.data(name)["k"] == "new" })
		w.synced(name)
	}
}

func TestTheDeprecatedFormatIsRefusedWhereTheFlagSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deps = func(d *sealedsecret.Deps) { d.RefuseDeprecated = true }
	w.start()
	obj := w.object("old", nil)
	obj.Spec.Data = decode64(t, w.sealed(seal.Strict, "old", `{"data":{"a":"YQ=="}}`))
	w.create(obj)
	got := w.failed("old", "using deprecated 'data' field, use 'encryptedData' or flip the feature flag")
	if got.Status.Conditions[0].Reason != v1alpha1.ReasonUnsealFailed || w.secret("old") != nil || w.operations() != 0 {
		t.Errorf("%+v, %d operations", got.Status.Conditions[0], w.operations())
	}
}
