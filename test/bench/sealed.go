package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

// sizes are what the command line says of the sealed scenarios; zero leaves a scenario its own.
type sizes struct {
	objects, keys, foreign int
	timeout                time.Duration
}

const (
	sealedObjects    = 2000
	sealedValues     = 2
	sealedNamespaces = 20
	keyNamespace     = "default"
)

// sealedChains are the scenarios about SealedSecrets.
func sealedChains() [][]scenario {
	chains := [][]scenario{
		{
			{name: "sealed-first-sync", about: "2000 SealedSecrets of the compat format over 20 namespaces, 2 values each, 1 key, exist before the start", takes: 35 * time.Second, run: sealedFirstSync},
			{name: "sealed-restart", about: "the controller starts again with all in sync; then once more with a new object beside them", takes: 20 * time.Second, run: sealedRestart},
		},
		{
			{name: "sealed-12-keys", about: "2000 SealedSecrets as before, and 12 keys, of which the oldest sealed all", takes: 45 * time.Second, run: sealedManyKeys},
		},
		{
			{name: "sealed-native", about: "5000 SealedSecrets of the native format, 2 values each, sealed to 24 keys in turn", takes: 45 * time.Second, run: sealedNative, ours: true},
		},
		{
			{name: "sealed-poison", about: "one SealedSecret of 100 values that none of 60 keys opens; 20 new objects, one after the other, before it and beside it", takes: 120 * time.Second, run: sealedPoison, ours: true},
		},
		{
			{name: "sealed-memory", about: "30000 Secrets of 10 KB that are nobody's, and 10000 SealedSecrets of the compat format, 2 values each", takes: 300 * time.Second, run: sealedMemory},
		},
	}
	for _, chain := range chains {
		for i := range chain {
			chain[i].sealed = true
		}
	}
	return chains
}

// sealing is what the objects of a scenario are sealed with.
type sealing struct {
	// to are the keys that seal, one object each in turn.
	to []seal.Recipient
	// operation does one private-key operation, or opens one value, as the controller does.
	operation func(context.Context) error
}

// compatKeys gives the cluster n RSA-4096 keys, made a day apart, and one native key, so that there is none to make. All
// is sealed with the oldest.
func (w *world) compatKeys(ctx context.Context, n int) (sealing, error) {
	pairs, err := w.makePairs(ctx, n)
	if err != nil {
		return sealing{}, err
	}
	if _, err := w.makeIdentities(ctx, 1); err != nil {
		return sealing{}, err
	}
	oldest := pairs[n-1]
	wrapped, err := wrap(oldest.Public())
	if err != nil {
		return sealing{}, err
	}
	return sealing{to: []seal.Recipient{seal.Compat(oldest.Public())}, operation: func(ctx context.Context) error {
		_, err := oldest.Unwrap(ctx, wrapped)
		return err
	}}, nil
}

// nativeKeys gives the cluster n native keys, made a day apart, and one RSA key. They seal in turn.
func (w *world) nativeKeys(ctx context.Context, n int) (sealing, error) {
	pairs, err := w.makePairs(ctx, 1)
	if err != nil {
		return sealing{}, err
	}
	identities, err := w.makeIdentities(ctx, n)
	if err != nil {
		return sealing{}, err
	}
	ring := keyring.New(pairs...)
	var s sealing
	for _, i := range identities {
		ring = ring.With(i)
		s.to = append(s.to, seal.Native(i.Recipient()))
	}
	obj, err := s.object("cost", 0)
	if err != nil {
		return sealing{}, err
	}
	s.operation = func(ctx context.Context) error {
		_, err := seal.NewOpener(ring, "", 0).Open(ctx, seal.Strict, obj.Namespace, obj.Name, obj.Spec.EncryptedData["username"])
		return err
	}
	return s, nil
}

// made is when the i-th key was made, the newest an hour ago, so that none is due to be renewed.
func made(i int) time.Time { return time.Now().Add(-time.Hour - time.Duration(i)*24*time.Hour) }

func (w *world) makePairs(ctx context.Context, n int) ([]*keyring.Pair, error) {
	fmt.Fprintf(w.log, "  making %d RSA-4096 keys\n", n)
	pairs := make([]*keyring.Pair, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for i := range n {
		g.Go(func() error {
			pair, err := keyring.Generate(keyring.Options{NotBefore: made(i)})
			if err != nil {
				return err
			}
			pairs[i] = pair
			secret := &corev1.Secret{Type: corev1.SecretTypeTLS, ObjectMeta: keyMeta(fmt.Sprintf("sealed-secrets-key-%02d", i), v1alpha1.LabelSealingKey)}
			secret.Data = map[string][]byte{corev1.TLSCertKey: pair.CertificatePEM(), corev1.TLSPrivateKeyKey: pair.PrivateKeyPEM()}
			return w.client.Create(ctx, secret)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("make sealing keys: %w", err)
	}
	return pairs, nil
}

func (w *world) makeIdentities(ctx context.Context, n int) ([]*keyring.Identity, error) {
	identities := make([]*keyring.Identity, n)
	for i := range n {
		identity, err := keyring.GenerateIdentity(made(i))
		if err != nil {
			return nil, fmt.Errorf("make sealing keys: %w", err)
		}
		identities[i] = identity
		secret := &corev1.Secret{ObjectMeta: keyMeta(fmt.Sprintf("sealed-secrets-key-native-%02d", i), v1alpha1.LabelNativeKey)}
		secret.Data = map[string][]byte{v1alpha1.IdentityKey: identity.Text(), v1alpha1.RecipientKey: []byte(identity.Recipient().String() + "\n")}
		if err := w.client.Create(ctx, secret); err != nil {
			return nil, fmt.Errorf("make sealing keys: %w", err)
		}
	}
	return identities, nil
}

func keyMeta(name, label string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: keyNamespace, Name: name, Labels: map[string]string{label: v1alpha1.SealingKeyActive}}
}

// object returns the i-th SealedSecret with a name that begins so.
func (s sealing) object(prefix string, i int) (*v1alpha1.SealedSecret, error) {
	obj := &v1alpha1.SealedSecret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace(i % sealedNamespaces), Name: fmt.Sprintf("%s-%05d", prefix, i)}}
	obj.Spec.EncryptedData = map[string]string{}
	for key, value := range fields(obj.Name) { // sealedValues of them
		text, err := seal.Seal(rand.Reader, s.to[i%len(s.to)], seal.Strict, obj.Namespace, obj.Name, []byte(value))
		if err != nil {
			return nil, fmt.Errorf("seal %s: %w", obj.Name, err)
		}
		obj.Spec.EncryptedData[key] = text
	}
	return obj, nil
}

// fillSealed makes the objects that exist before the start; n is how many unless the command line says.
func (w *world) fillSealed(ctx context.Context, s sealing, n int) error {
	n = cmp.Or(w.settings.sealed.objects, n)
	fmt.Fprintf(w.log, "  sealing and creating %d SealedSecrets\n", n)
	if err := w.makeNamespaces(ctx); err != nil {
		return err
	}
	objects := make([]client.Object, n)
	g, sealing := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for i := range n {
		g.Go(func() error {
			obj, err := s.object("sealed", i)
			objects[i] = obj
			return cmp.Or(err, sealing.Err())
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	w.sealed, w.objects = &s, n
	return w.createAll(ctx, n, func(i int) client.Object { return objects[i] })
}

func (w *world) makeNamespaces(ctx context.Context) error {
	return w.createAll(ctx, sealedNamespaces, func(i int) client.Object {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace(i)}}
	})
}
