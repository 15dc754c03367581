package sealedsecret_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/test/harness/vault"
)

func TestVaultHoldsTheKeyAndTheClusterNeverSeesIt(t *testing.T) {
	t.Parallel()
	h := prepared(t, vault.New(t))
	h.native = true // beside a key of the cluster's own
	h.start()
	to := h.recipient("1")
	if !to.Held() {
		t.Fatalf("values would be sealed to %s", to)
	}
	before, err := h.vault.Requests()
	if err != nil {
		t.Fatal(err)
	}
	sealedOffline := h.sealedNative(seal.Strict, h.ns, "db", canary+"-1", to)
	after, err := h.vault.Requests()
	if err != nil {
		t.Fatal(err)
	}
	decrypts := func(requests []vault.Request) int {
		return len(slices.DeleteFunc(slices.Clone(requests), func(r vault.Request) bool { return !strings.HasPrefix(r.Path, h.mount+"/decrypt") }))
	}
	if decrypts(after) != decrypts(before) {
		t.Error("sealing asked Vault")
	}
	obj := h.object("db", map[string]string{"compat": canary + "-2"})
	obj.Spec.EncryptedData["held"] = sealedOffline
	obj.Spec.EncryptedData["second"] = h.sealedNative(seal.Strict, h.ns, "db", canary+"-3", to)
	h.create(obj)
	got := h.synced("db")
	for key, want := range map[string]string{"held": "-1", "compat": "-2", "second": "-3"} {
		if h.data("db")[key] != canary+want {
			t.Errorf("%s was not opened", key)
		}
	}
	if h.asked() != 2 || h.operations() != 3 {
		t.Errorf("two values took %d requests to Vault, three %d private-key operations", h.asked(), h.operations())
	}
	if got.Status.SealingKey != to.Fingerprint() {
		t.Errorf("the status names the key %s", got.Status.SealingKey)
	}

	// A restart asks nothing of Vault for what is in sync.
	h.stop()
	h.checkCanary()
	h.start()
	h.recipient("1")
	h.apply("later", to, map[string]string{"a": canary})
	h.synced("later")
	if h.asked() != 3 {
		t.Errorf("after a restart Vault was asked %d times for one new value", h.asked()-2)
	}

	var secrets corev1.SecretList
	var maps corev1.ConfigMapList
	for _, list := range []client.ObjectList{&secrets, &maps} {
		if err := h.client.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	shown := [][]byte{[]byte(h.logs.String())}
	for _, s := range secrets.Items {
		for _, v := range s.Data {
			shown = append(shown, v)
		}
	}
	for _, m := range maps.Items {
		for _, v := range m.Data {
			shown = append(shown, []byte(v))
		}
	}
	for _, part := range h.private() {
		for _, text := range shown {
			if bytes.Contains(text, part) || bytes.Contains(text, []byte(base64.StdEncoding.EncodeToString(part))) {
				t.Fatal("the private key is in the cluster")
			}
		}
	}
	h.checkCanary()
}

func TestATransitKeyThatIsRotatedIsUsedWithoutARestartAndWhatIsTooOldIsSaid(t *testing.T) {
	t.Parallel()
	h := prepared(t, vault.New(t))
	h.start()
	first := h.recipient("1")
	h.apply("opened", first, map[string]string{"a": canary})
	h.synced("opened")
	h.write(h.mount+"/keys/"+sealing+"/rotate", nil)
	second := h.recipient("2")
	h.apply("both", first, map[string]string{"old": canary})
	h.synced("both")

	// The controller moves what it can open to the newest version, and nothing else.
	obj := h.object("moved", nil)
	obj.Spec.EncryptedData["a"] = h.sealedNative(seal.Strict, h.ns, "moved", canary, first)
	code, answer := h.post("/v1/rotate", obj)
	var rotated v1alpha1.SealedSecret
	if err := json.Unmarshal(answer, &rotated); err != nil || code != 200 {
		t.Fatalf("rotate: %d %v", code, err)
	}
	if info, err := seal.Inspect(rotated.Spec.EncryptedData["a"]); err != nil || len(info.Keys) != 1 || info.Keys[0] != second.Fingerprint() {
		t.Errorf("rotated to %v, %v", info.Keys, err)
	}
	if code, _ := h.post("/v1/verify", &rotated); code != 200 {
		t.Errorf("verify: %d", code)
	}

	// What Vault does not decrypt any more is explained, also when its public key is not shown any more.
	config := h.mount + "/keys/" + sealing + "/config"
	h.write(config, map[string]any{"min_decryption_version": 2})
	h.eventually("the first version is gone", func() bool {
		for k := range h.ring().All() {
			if k.Fingerprint() == first.Fingerprint() {
				return false
			}
		}
		return true
	})
	h.apply("old", first, map[string]string{"a": canary})
	h.failed("old", "version 1 of the transit key "+h.mount+"/sealing is below its min_decryption_version")
	if code, _ := h.post("/v1/verify", obj); code != 409 {
		t.Errorf("verify of a value that is too old: %d", code)
	}
	h.create(h.nativeSecret("unrelated", identity(t, time.Hour))) // another ring says the same
	h.write(config, map[string]any{"min_decryption_version": 1})
	h.synced("old")

	// A version that was trimmed is gone for good.
	h.write(config, map[string]any{"min_decryption_version": 2, "min_encryption_version": 2})
	h.write(h.mount+"/keys/"+sealing+"/trim", map[string]any{"min_available_version": 2})
	h.apply("trimmed", first, map[string]string{"a": canary})
	h.failed("trimmed", "below its min_decryption_version")
	h.apply("new", second, map[string]string{"a": canary})
	h.synced("new")
	if h.data("opened")["a"] != canary {
		t.Error("what was opened before is gone")
	}
	h.checkCanary()
}

func TestAVaultThatDoesNotAnswerDelaysNobodyElseAndIsNoWrongKey(t *testing.T) {
	t.Parallel()
	server, err := vault.Start(context.WithoutCancel(t.Context()), vault.Options{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	h := prepared(t, server)
	h.native = true
	h.start()
	to := h.recipient("1")
	h.apply("before", to, map[string]string{"a": canary})
	h.synced("before")
	version := h.secret("before").ResourceVersion

	// All is sealed before, because a worker waits for Vault only so long.
	const many = 20
	var silent []*v1alpha1.SealedSecret
	for i := range many {
		silent = append(silent, h.sealedObject(fmt.Sprintf("held-%d", i), to, map[string]string{"a": canary}))
	}
	own, _ := h.ring().NewestIdentity()
	obj := h.object("own", map[string]string{"compat": canary})
	obj.Spec.EncryptedData["native"] = h.sealedNative(seal.Strict, h.ns, "own", canary, own.Recipient())

	// The process is there, takes connections and says nothing.
	h.signal(syscall.SIGSTOP)
	continued := false
	t.Cleanup(func() {
		if !continued {
			_ = syscall.Kill(server.PID(), syscall.SIGCONT)
		}
	})
	for _, one := range silent {
		h.create(one)
	}
	h.create(obj)
	h.synced("own")
	// Half of the workers wait at once for what does not answer. Without a worker left for others, more would have waited in vain.
	gaveUp := 0
	for i := range many {
		var one v1alpha1.SealedSecret
		if err := h.client.Get(t.Context(), client.ObjectKey{Namespace: h.ns, Name: fmt.Sprintf("held-%d", i)}, &one); err != nil {
			t.Fatal(err)
		}
		if len(one.Status.Conditions) > 0 {
			gaveUp++
		}
	}
	if gaveUp > concurrent/2 {
		t.Errorf("another object was opened after %d had waited for Vault in vain", gaveUp)
	}
	for i := range many {
		got := h.failed(fmt.Sprintf("held-%d", i), "it did not answer in time")
		if reason := got.Status.Conditions[0].Reason; reason != v1alpha1.ReasonKeyUnavailable {
			t.Fatalf("the reason is %s", reason)
		}
	}
	if code, _ := h.post("/v1/verify", obj); code != 200 {
		t.Errorf("verify of an object without the key: %d", code)
	}
	var one v1alpha1.SealedSecret
	if err := h.client.Get(t.Context(), client.ObjectKey{Namespace: h.ns, Name: "held-0"}, &one); err != nil {
		t.Fatal(err)
	}
	if code, _ := h.post("/v1/verify", &one); code != 503 {
		t.Errorf("verify while Vault is silent: %d", code)
	}
	h.signal(syscall.SIGCONT)
	continued = true
	for i := range many {
		h.synced(fmt.Sprintf("held-%d", i))
	}
	if n := h.asked(); n > 2*many {
		t.Errorf("%d values took %d requests", many+1, n)
	}

	// A Vault that is sealed answers, and says so.
	if err := server.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.apply("sealed", to, map[string]string{"a": canary})
	h.failed("sealed", "vault is sealed; unseal it")
	if err := server.Unseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.synced("sealed")

	// A Vault that is gone, also at a start: what is there stays, the others open.
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	h.apply("gone", to, map[string]string{"a": canary})
	h.failed("gone", "it refuses connections")
	h.stop()
	h.checkCanary()
	h.hold("/none")
	h.start()
	h.create(h.object("after", map[string]string{"a": canary}))
	h.synced("after")
	h.failed("gone", "no ServiceAccount token")
	if text, code := h.recipients(); code != 503 {
		t.Errorf("without Vault values are sealed to %s", text)
	}
	if s := h.secret("before"); s == nil || s.ResourceVersion != version || s.DeletionTimestamp != nil {
		t.Error("a Secret that was there was touched")
	}
	h.checkCanary()
}

func TestWhatVaultRefusesIsSaidWithTheRightThatIsMissing(t *testing.T) {
	t.Parallel()
	h := prepared(t, vault.New(t))
	h.start()
	to := h.recipient("1")
	h.allow("read")
	h.apply("db", to, map[string]string{"a": canary})
	got := h.failed("db", `the policies of role "sealbridge" must grant "update" on `+h.mount+`/decrypt/sealing`)
	if reason := got.Status.Conditions[0].Reason; reason != v1alpha1.ReasonKeyUnavailable {
		t.Errorf("the reason is %s", reason)
	}
	h.allow("read", "update")
	h.synced("db")
	h.checkCanary()
}

func TestAValueThatWasMovedOrChangedIsRefusedAlsoWhenVaultHoldsTheKey(t *testing.T) {
	t.Parallel()
	h := prepared(t, vault.New(t))
	h.start()
	to := h.recipient("1")
	good := h.sealedNative(seal.Strict, h.ns, "bad", canary, to)
	change := func(old, replacement string) string {
		raw, err := base64.StdEncoding.DecodeString(good)
		if err != nil || !bytes.Contains(raw, []byte(old)) {
			t.Fatalf("%q is not there: %v", old, err)
		}
		return base64.StdEncoding.EncodeToString(bytes.Replace(raw, []byte(old), []byte(replacement), 1))
	}
	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sameName, err := agebox.NewHeld(h.mount+"/"+sealing, "1", &foreign.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := base64.StdEncoding.DecodeString(good)
	body := string(raw[bytes.Index(raw, []byte("/sealing 1\n"))+len("/sealing 1\n"):][:64])
	flipped := strings.Map(func(r rune) rune { return map[bool]rune{true: 'B', false: r}[r == 'A'] }, body)
	if flipped == body {
		flipped = "A" + body[1:]
	}
	obj := h.object("bad", nil)
	obj.Spec.EncryptedData = map[string]string{
		"elsewhere": h.sealedNative(seal.Strict, "elsewhere", "bad", canary, to),
		"renamed":   h.sealedNative(seal.Strict, h.ns, "good", canary, to),
		"wider":     h.sealedNative(seal.ClusterWide, "", "", canary, to),
		"version":   change("/sealing 1\n", "/sealing 2\n"),
		"lock":      change(body, flipped),
		"foreign":   h.sealedNative(seal.Strict, h.ns, "bad", canary, sameName),
	}
	h.create(obj)
	h.failed("bad", "no key could decrypt secret (elsewhere, foreign, lock, renamed, version, wider)")
	if h.secret("bad") != nil {
		t.Error("a Secret was made")
	}
	if n := h.asked(); n != 5 {
		t.Errorf("Vault was asked %d times for five values that name its key and one that does not", n)
	}
	// Nobody is asked again for the same bytes, and an object that is right is not held up.
	h.create(h.nativeSecret("another", identity(t, time.Hour)))
	h.apply("good", to, map[string]string{"a": canary})
	h.synced("good")
	h.failed("bad", "no key could decrypt secret")
	if n := h.asked(); n != 6 {
		t.Errorf("Vault was asked %d times", n)
	}
	h.checkCanary()
}
