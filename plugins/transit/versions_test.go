package transit_test

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/plugins/transit"
)

func TestVersionsThatVaultDoesNotUseAnyMoreAreExplainedAndForeignOnesAreNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "rsa-2048")
	c := w.client()
	before, first := newest(t, c)
	w.write(w.mount+"/keys/k/rotate", nil)
	ring, second := newest(t, c)
	if ring.Len() != before.Len()+1 || first.Fingerprint() == second.Fingerprint() {
		t.Fatalf("%d keys after the rotation, %d before", ring.Len(), before.Len())
	}
	for _, to := range []*agebox.Recipient{first, second} {
		if err := opened(t.Context(), ring, sealed(t, to)); err != nil {
			t.Error(err)
		}
	}
	w.write(w.mount+"/keys/k/config", map[string]any{"min_decryption_version": 2})
	// Vault says it before we know, and we say it when Vault does not show the version any more.
	known := ring
	ring, _ = newest(t, c)
	for _, r := range []*keyring.Ring{known, ring} {
		if err := opened(t.Context(), r, sealed(t, first)); !errors.Is(err, keyring.ErrRetired) || !strings.Contains(err.Error(), "version 1 of the transit key "+w.mount+"/k is below") {
			t.Errorf("got %v", err)
		}
	}
	if err := opened(t.Context(), ring, sealed(t, first, second)); err != nil {
		t.Errorf("a value that is sealed to both: %v", err)
	}
	w2 := newWorld(t, "rsa-2048")
	_, foreign := newest(t, w2.client())
	if err := opened(t.Context(), ring, sealed(t, foreign)); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("a key of another name: %v", err)
	}
	if err := w.vault.Client().Sys().UnmountWithContext(t.Context(), w.mount); err != nil {
		t.Fatal(err)
	}
	if err := w.vault.Client().Sys().MountWithContext(t.Context(), w.mount, transitMount()); err != nil {
		t.Fatal(err)
	}
	w.write(w.mount+"/keys/k", map[string]any{"type": "rsa-2048"})
	again, third := newest(t, c)
	if third.Fingerprint() == first.Fingerprint() {
		t.Fatal("the same key")
	}
	if err := opened(t.Context(), again, sealed(t, first)); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("another key of the same name and version: %v", err)
	}
}

// TestAVersionThatAnotherReplicaHasNoticedFirstIsAskedFor: the replica that says to whom values are sealed need not be the one that opens them.
func TestAVersionThatAnotherReplicaHasNoticedFirstIsAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "rsa-2048")
	c, ahead := w.clientAhead()
	ring, first := newest(t, c)
	w.write(w.mount+"/keys/k/rotate", nil)
	_, second := newest(t, w.client())
	made, err := agebox.NewHeld(w.mount+"/k", "9", foreignKey(t))
	if err != nil {
		t.Fatal(err)
	}
	asked := func() int { return w.requests(w.mount + "/keys/k") }
	before := asked()
	for range 2 {
		for _, to := range []*agebox.Recipient{second, made} {
			if err := opened(t.Context(), ring, sealed(t, to)); err == nil || errors.Is(err, seal.ErrNoKey) || !strings.Contains(err.Error(), "is asked again in a moment") {
				t.Errorf("when vault was asked a moment ago: %v", err)
			}
		}
	}
	if asked() != before {
		t.Error("vault is asked without a rest")
	}
	ahead.Store(int64(10 * time.Second))
	for range 3 {
		if err := opened(t.Context(), ring, sealed(t, made)); !errors.Is(err, seal.ErrNoKey) {
			t.Errorf("a version that there is not: %v", err)
		}
	}
	for _, to := range []*agebox.Recipient{first, second} {
		opener := seal.NewOpener(ring, "", 0)
		if _, err := opener.Open(t.Context(), seal.Strict, "ns", "n", sealed(t, to)); err != nil || opener.Opened() != to.Fingerprint() {
			t.Errorf("opened by %q: %v", opener.Opened(), err)
		}
	}
	if n := asked() - before; n != 1 {
		t.Errorf("vault was asked %d times for its versions, want once", n)
	}
	w.policy("update") // what is known already opens
	ahead.Store(int64(20 * time.Second))
	if err := opened(t.Context(), ring, sealed(t, second)); err != nil {
		t.Error(err)
	}
}

// TestAnAnswerAboutVersionsDoesNotTakeThePlaceOfALaterOne: one of before a rotation comes when its successor has been opened.
func TestAnAnswerAboutVersionsDoesNotTakeThePlaceOfALaterOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "rsa-2048")
	target, err := url.Parse(w.vault.Address())
	if err != nil {
		t.Fatal(err)
	}
	var questions atomic.Int32
	answered, released := make(chan struct{}), make(chan struct{})
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			if strings.HasSuffix(r.Request.URL.Path, "/keys/k") && questions.Add(1) == 2 {
				close(answered)
				<-released
			}
			return nil
		},
	})
	t.Cleanup(proxy.Close)
	began, ahead := time.Now(), atomic.Int64{}
	c := w.client(func(o *transit.Options) {
		o.Address, o.Now = proxy.URL, func() time.Time { return began.Add(time.Duration(ahead.Load())) }
	})
	ring, _ := newest(t, c)
	inTurn, outOfTurn := make(chan error, 1), make(chan error, 1)
	go func() { inTurn <- c.Ask(t.Context()) }()
	<-answered
	w.write(w.mount+"/keys/k/rotate", nil)
	_, second := newest(t, w.client())
	ahead.Store(int64(10 * time.Second))
	go func() { outOfTurn <- opened(t.Context(), ring, sealed(t, second)) }()
	select {
	case err := <-outOfTurn:
		outOfTurn <- err
	case <-time.After(300 * time.Millisecond): // it waits for the one that was asked first
	}
	close(released)
	if err := errors.Join(<-inTurn, <-outOfTurn); err != nil {
		t.Error(err)
	}
	if key, ok := keyring.New().With(c.Keys()...).NewestRemote(); !ok || key.Fingerprint() != second.Fingerprint() {
		t.Error("the key that has just opened is not known any more")
	}
}

func foreignKey(t *testing.T) *rsa.PublicKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}

func transitMount() *api.MountInput { return &api.MountInput{Type: "transit"} }
