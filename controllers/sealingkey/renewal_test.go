package sealingkey_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/sealingkey"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

const month = 30 * 24 * time.Hour

// clock is one that is set by hand: the real one and an offset.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time       { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) set(by time.Duration) { c.offset.Store(int64(by)) }

func renewing(now func() time.Time) func(*sealingkey.Deps) {
	return func(d *sealingkey.Deps) { d.Now, d.Renewal.Period = now, month }
}

// touch changes a key Secret, so that every replica looks at the keys and its clock.
func touch(t *testing.T, c client.Client, ns string) {
	t.Helper()
	secret := keySecrets(t, c, ns)[0]
	before := secret.DeepCopy()
	metav1.SetMetaDataAnnotation(&secret.ObjectMeta, "touched", time.Now().String())
	if err := c.Patch(t.Context(), &secret, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

func newestOf(k *sealingkey.Keeper) string {
	ring, _ := k.Ring()
	pair, _ := ring.Newest()
	return pair.Fingerprint()
}

func TestReplicasThatAllTakeThemselvesForLeadersRenewOnce(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns, c := cp.Namespace(t), newClient(t, cp.Config())
	var hand clock
	var keepers []*sealingkey.Keeper
	for range 3 {
		k, _ := replica(t, cp.Config(), ns, false, renewing(hand.now), func(d *sealingkey.Deps) {
			d.Labels, d.Annotations = map[string]string{"team": "a"}, map[string]string{"note": "b"}
		})
		keepers = append(keepers, k)
	}
	for generation := 1; generation <= 3; generation++ {
		for _, k := range keepers {
			eventually(t, "every replica has the keys", func() bool { return size(k) == generation })
		}
		if newestOf(keepers[0]) != newestOf(keepers[1]) || newestOf(keepers[0]) != newestOf(keepers[2]) {
			t.Error("replicas seal to different keys")
		}
		// Nothing but a look at an hour's distance is due; a second key would come from this run.
		touch(t, c, ns)
		secrets := keySecrets(t, c, ns)
		if len(secrets) != generation {
			t.Fatalf("%d key Secrets in generation %d", len(secrets), generation)
		}
		for _, s := range secrets {
			if s.Labels["team"] != "a" || s.Annotations["note"] != "b" || s.Labels[v1alpha1.LabelSealingKey] != "active" || s.Type != corev1.SecretTypeTLS {
				t.Errorf("%s: %v %v", s.Name, s.Labels, s.Annotations)
			}
		}
		hand.set(time.Duration(generation) * (month + time.Minute))
		touch(t, c, ns)
	}
}

func TestAKeyIsRenewedWithoutAnybodyAsking(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	keeper, stop := replica(t, cp.Config(), ns, false, func(d *sealingkey.Deps) { d.Renewal.Period = 3 * time.Second })
	eventually(t, "a second key", func() bool { return size(keeper) >= 2 })
	stop()
}

func TestAKeyWithoutAPeriodIsNeverRenewed(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns, c := cp.Namespace(t), newClient(t, cp.Config())
	var hand clock
	keeper, _ := replica(t, cp.Config(), ns, false, func(d *sealingkey.Deps) { d.Now = hand.now })
	eventually(t, "the first key", func() bool { return size(keeper) == 1 })
	hand.set(100 * month)
	// A key of one's own shows that the replica has looked since.
	createKey(t, c, ns, "own", 0)
	eventually(t, "the added key", func() bool { return size(keeper) == 2 })
	if n := len(keySecrets(t, c, ns)); n != 2 {
		t.Errorf("%d key Secrets", n)
	}
}

func createKey(t *testing.T, c client.Client, ns, name string, age time.Duration) *keyring.Pair {
	t.Helper()
	pair, err := keyring.Generate(keyring.Options{Bits: 2048, NotBefore: time.Now().Add(-age)})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{v1alpha1.LabelSealingKey: v1alpha1.SealingKeyActive}},
		Data:       map[string][]byte{"tls.crt": pair.CertificatePEM(), "tls.key": pair.PrivateKeyPEM()},
	})
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func TestAKeyFromBeforeTheCutoffIsFollowedByOneOther(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns, c := cp.Namespace(t), newClient(t, cp.Config())
	old := createKey(t, c, ns, "old", 2*time.Hour)
	cutoff := func(d *sealingkey.Deps) { d.Renewal.Cutoff = time.Now().Add(-time.Hour) }
	keeper, stop := replica(t, cp.Config(), ns, false, cutoff)
	eventually(t, "the key after the cutoff", func() bool { return size(keeper) == 2 })
	if newestOf(keeper) == old.Fingerprint() {
		t.Error("the old key is still sealed to")
	}
	stop()
	// A restart with the same flag makes no other.
	keeper, _ = replica(t, cp.Config(), ns, false, cutoff)
	eventually(t, "the keys", func() bool { return size(keeper) == 2 })
	createKey(t, c, ns, "own", 0)
	eventually(t, "a look at the keys", func() bool { return size(keeper) == 3 })
	if n := len(keySecrets(t, c, ns)); n != 3 {
		t.Errorf("%d key Secrets", n)
	}
}

func TestASuccessorThatWasRetiredIsReplaced(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns, c := cp.Namespace(t), newClient(t, cp.Config())
	createKey(t, c, ns, "old", 2*month)
	keeper, _ := replica(t, cp.Config(), ns, false, renewing(time.Now))
	eventually(t, "the successor", func() bool { return size(keeper) == 2 })
	successor := newestOf(keeper)
	secrets := keySecrets(t, c, ns)
	i := slices.IndexFunc(secrets, func(s corev1.Secret) bool { return s.Name != "old" })
	secrets[i].Labels[v1alpha1.LabelSealingKey] = v1alpha1.SealingKeyCompromised
	if err := c.Update(t.Context(), &secrets[i]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another successor", func() bool { return size(keeper) == 2 && newestOf(keeper) != successor })
	if n := len(keySecrets(t, c, ns)); n != 3 {
		t.Errorf("%d key Secrets", n)
	}
}

// A clock that ran a year ahead has made a key; it is right again.
func TestRenewalGoesOnAfterAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns, c := cp.Namespace(t), newClient(t, cp.Config())
	future := createKey(t, c, ns, "future", -12*month)
	var hand clock
	keeper, _ := replica(t, cp.Config(), ns, false, renewing(hand.now))
	eventually(t, "the key", func() bool { return size(keeper) == 1 })
	for generation := 2; generation <= 3; generation++ {
		hand.set(time.Duration(generation-1) * (month + time.Minute))
		touch(t, c, ns)
		eventually(t, "a renewal", func() bool { return size(keeper) == generation && newestOf(keeper) != future.Fingerprint() })
		future, _ = newestPair(keeper)
		touch(t, c, ns)
	}
	createKey(t, c, ns, "own", 0)
	eventually(t, "a look at the keys", func() bool { return size(keeper) == 4 })
	if n := len(keySecrets(t, c, ns)); n != 4 {
		t.Errorf("%d key Secrets", n)
	}
}

func newestPair(k *sealingkey.Keeper) (*keyring.Pair, bool) {
	ring, _ := k.Ring()
	return ring.Newest()
}

func TestTheYoungestSecretIsSealedToWhenTheOrderSaysSo(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns, c := cp.Namespace(t), newClient(t, cp.Config())
	createKey(t, c, ns, "first", 0)
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // creation timestamps are whole seconds
	second := createKey(t, c, ns, "second", time.Hour)
	keeper, _ := replica(t, cp.Config(), ns, false, func(d *sealingkey.Deps) { d.Order = sealingkey.OrderSecretCreationTimestamp })
	eventually(t, "the keys", func() bool { return size(keeper) == 2 })
	if newestOf(keeper) != second.Fingerprint() {
		t.Error("the older Secret's key is sealed to")
	}
}
