package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

const (
	poisonValues = 100
	poisonTries  = 20
)

// sealedPoison measures how soon new objects are synced, one after the other, with nothing else to do and then while an
// object is worked on that no key opens.
func sealedPoison(ctx context.Context, w *world) (*Report, error) {
	keys := cmp.Or(w.settings.sealed.keys, 60)
	pairs, err := w.makePairs(ctx, keys)
	if err != nil {
		return nil, err
	}
	if _, err := w.makeIdentities(ctx, 1); err != nil {
		return nil, err
	}
	if err := w.makeNamespaces(ctx); err != nil {
		return nil, err
	}
	s := sealing{to: []seal.Recipient{seal.Compat(pairs[0].Public())}}
	w.sealed = &s
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	poison, err := w.poisonous()
	if err != nil {
		return nil, err
	}
	alone, err := w.tries(ctx, s, "alone")
	if err != nil {
		return nil, err
	}
	before, err := w.mark()
	if err != nil {
		return nil, err
	}
	if err := w.client.Create(ctx, poison); err != nil {
		return nil, fmt.Errorf("create %s: %w", poison.Name, err)
	}
	beside, err := w.tries(ctx, s, "beside")
	if err != nil {
		return nil, err
	}
	during, err := w.operations(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.client.Get(ctx, client.ObjectKeyFromObject(poison), poison); err != nil {
		return nil, fmt.Errorf("read %s: %w", poison.Name, err)
	}
	if len(poison.Status.Conditions) > 0 {
		return nil, fmt.Errorf("the object was refused before the %d tries were over", poisonTries)
	}
	if err := w.refused(ctx, poison); err != nil {
		return nil, err
	}
	after, err := w.since(before)
	if err != nil {
		return nil, err
	}
	all, err := w.operations(ctx)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	r.Add("sealing keys", float64(keys), "keys")
	r.Add("values of the object that no key opens", poisonValues, "values")
	r.Add("until a new object is synced without it, median", alone[poisonTries/2], "s")
	r.Add("the slowest of 20", alone[poisonTries-1], "s")
	r.Add("until a new object is synced beside it, median", beside[poisonTries/2], "s")
	r.Add("the slowest of 20", beside[poisonTries-1], "s")
	r.Bound("by how much the slowest is later", beside[poisonTries-1]-alone[poisonTries-1], 1, "s")
	r.Add("private-key operations when the 20th was synced", during, "operations")
	r.Bound("private-key operations in all", all, float64(poisonValues*keys+2*poisonTries*sealedValues), "operations")
	r.Add("until the object is refused", after.wall.Seconds(), "s")
	r.Add("controller CPU", after.cpu.Seconds(), "s")
	r.Add("controller peak memory", float64(after.peak)/mib, "MiB")
	return r, nil
}

// poisonous returns a SealedSecret whose values are sealed to a key that the cluster does not have, of the size of its keys.
func (w *world) poisonous() (*v1alpha1.SealedSecret, error) {
	stranger, err := keyring.Generate(keyring.Options{NotBefore: made(0)})
	if err != nil {
		return nil, fmt.Errorf("make a sealing key: %w", err)
	}
	obj := &v1alpha1.SealedSecret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace(0), Name: "poison"}}
	obj.Spec.EncryptedData = map[string]string{}
	for i := range poisonValues {
		text, err := seal.Seal(rand.Reader, seal.Compat(stranger.Public()), seal.Strict, obj.Namespace, obj.Name, []byte("value"))
		if err != nil {
			return nil, fmt.Errorf("seal %s: %w", obj.Name, err)
		}
		obj.Spec.EncryptedData[fmt.Sprintf("key-%03d", i)] = text
	}
	return obj, nil
}

// tries makes objects one after the other, and returns how long each took to be synced, the fastest first.
func (w *world) tries(ctx context.Context, s sealing, prefix string) ([]float64, error) {
	took := make([]float64, poisonTries)
	for i := range took {
		obj, err := s.object(prefix, i)
		if err != nil {
			return nil, err
		}
		start := time.Now()
		if err := w.client.Create(ctx, obj); err != nil {
			return nil, fmt.Errorf("create %s: %w", obj.Name, err)
		}
		synced, err := w.synced(ctx, 1, func() {}, client.MatchingFields{"metadata.name": obj.Name})
		if err == nil && synced == 0 {
			err = fmt.Errorf("%s is not synced in time", obj.Name)
		}
		if err != nil {
			return nil, err
		}
		took[i] = time.Since(start).Seconds()
		if err := w.pause(ctx, 200*time.Millisecond); err != nil {
			return nil, err
		}
	}
	slices.Sort(took)
	return took, nil
}

// refused waits until an object is said not to open.
func (w *world) refused(ctx context.Context, obj *v1alpha1.SealedSecret) error {
	return w.each(ctx, &v1alpha1.SealedSecretList{}, func(o client.Object) bool {
		ss, ok := o.(*v1alpha1.SealedSecret)
		return ok && len(ss.Status.Conditions) > 0 && ss.Status.Conditions[0].Status == metav1.ConditionFalse
	}, client.InNamespace(obj.Namespace), client.MatchingFields{"metadata.name": obj.Name})
}
