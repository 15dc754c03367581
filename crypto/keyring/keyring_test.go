package keyring_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/rsahybrid"
)

var day = 24 * time.Hour

func start() time.Time { return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) }

func generate(t testing.TB, age time.Duration, bits int) *keyring.Pair {
	t.Helper()
	pair, err := keyring.Generate(keyring.Options{Bits: bits, NotBefore: start().Add(-age)})
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func TestAGeneratedPairHasTheShapeOfSealedSecrets(t *testing.T) {
	t.Parallel()
	pair, err := keyring.Generate(keyring.Options{Bits: 2048, CommonName: "cluster-a", NotBefore: start()})
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(pair.CertificatePEM())
	if block == nil || len(rest) != 0 {
		t.Fatal("the certificate is not one PEM block")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{
		"subject": cert.Subject.CommonName, "issuer": cert.Issuer.CommonName, "usage": cert.KeyUsage, "ca": cert.IsCA,
		"from": cert.NotBefore, "to": cert.NotAfter, "self-signed": cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil,
		"serial fits": cert.SerialNumber.BitLen() <= 128,
	}
	want := map[string]any{
		"subject": "cluster-a", "issuer": "cluster-a", "usage": x509.KeyUsageEncipherOnly, "ca": true,
		"from": start(), "to": start().Add(3650 * day), "self-signed": true, "serial fits": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !bytes.HasPrefix(pair.PrivateKeyPEM(), []byte("-----BEGIN RSA PRIVATE KEY-----")) {
		t.Error("the private key is not PKCS#1")
	}
}

func TestTheDefaultKeyHas4096Bits(t *testing.T) {
	if testing.Short() {
		t.Skip("generates an RSA-4096 key")
	}
	t.Parallel()
	if pair := generate(t, 0, 0); pair.Size()*8 != 4096 {
		t.Errorf("got %d bits", pair.Size()*8)
	}
}

func TestAPairSurvivesItsSecret(t *testing.T) {
	t.Parallel()
	pair := generate(t, 0, 2048)
	key, err := keyring.ParsePrivateKey(pair.PrivateKeyPEM())
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	for name, keyPEM := range map[string][]byte{
		"PKCS#1":                        pair.PrivateKeyPEM(),
		"PKCS#8":                        pkcs8,
		"text before the key":           append([]byte("a comment\n"), pkcs8...),
		"other blocks before the key":   append(pair.CertificatePEM(), pkcs8...),
		"a broken block before the key": append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), pkcs8...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			again, err := keyring.ParsePair(pair.CertificatePEM(), keyPEM)
			if err != nil {
				t.Fatal(err)
			}
			if again.Fingerprint() != pair.Fingerprint() || !again.NotBefore().Equal(pair.NotBefore()) {
				t.Error("the pair that was read is another one")
			}
		})
	}
}

// As with Sealed Secrets, a certificate of one's own may be issued by an authority whose certificates follow it.
func TestOfACertificateThatWasIssuedTheFirstCountsAndIsServedAlone(t *testing.T) {
	t.Parallel()
	authority, own := generate(t, 90*day, 2048), generate(t, 0, 2048)
	issuer, err := x509.ParseCertificate(decodePEM(t, authority.CertificatePEM()))
	if err != nil {
		t.Fatal(err)
	}
	key, err := keyring.ParsePrivateKey(authority.PrivateKeyPEM())
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: start().Add(-day), NotAfter: start().Add(day)}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, own.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	issued := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pair, err := keyring.ParsePair(slices.Concat(issued, authority.CertificatePEM()), own.PrivateKeyPEM())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(pair.CertificatePEM(), issued) || pair.Fingerprint() != own.Fingerprint() || !pair.NotBefore().Equal(template.NotBefore) || !pair.NotAfter().Equal(template.NotAfter) {
		t.Errorf("%s, valid from %s to %s:\n%s", pair, pair.NotBefore(), pair.NotAfter(), pair.CertificatePEM())
	}
	if _, err := keyring.ParsePair(slices.Concat(authority.CertificatePEM(), issued), own.PrivateKeyPEM()); !errors.Is(err, keyring.ErrMismatch) {
		t.Errorf("an authority before it: %v", err)
	}
}

func TestTheFingerprintIsThatOfOpenSSH(t *testing.T) {
	t.Parallel()
	for _, bits := range []int{1024, 2048, 2049} {
		pair := generate(t, 0, bits)
		public, err := ssh.NewPublicKey(pair.Public())
		if err != nil {
			t.Fatal(err)
		}
		if want := ssh.FingerprintSHA256(public); pair.Fingerprint() != want {
			t.Errorf("%d bits: got %s, want %s", bits, pair.Fingerprint(), want)
		}
	}
}

func TestABrokenSecretIsRefusedWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	const canary = "canary-7f3e5b"
	pair, other := generate(t, 0, 2048), generate(t, 0, 2048)
	for name, c := range map[string]struct {
		cert, key []byte
		want      error
	}{
		"nothing":                  {nil, nil, keyring.ErrNoPrivateKey},
		"no key":                   {pair.CertificatePEM(), []byte(canary), keyring.ErrNoPrivateKey},
		"a key that is cut off":    {pair.CertificatePEM(), pair.PrivateKeyPEM()[:200], keyring.ErrNoPrivateKey},
		"a key block of rubbish":   {pair.CertificatePEM(), pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte(canary)}), keyring.ErrNoPrivateKey},
		"no certificate":           {[]byte(canary), pair.PrivateKeyPEM(), keyring.ErrNoCertificate},
		"a key for a certificate":  {pair.PrivateKeyPEM(), pair.PrivateKeyPEM(), keyring.ErrNoCertificate},
		"a certificate of rubbish": {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(canary)}), pair.PrivateKeyPEM(), keyring.ErrNoCertificate},
		"somebody's certificate":   {other.CertificatePEM(), pair.PrivateKeyPEM(), keyring.ErrMismatch},
		"an ECDSA certificate":     {ecdsaCertificate(t), pair.PrivateKeyPEM(), keyring.ErrNotRSA},
		"a key of 512 bits":        {smallCertificate(t), pair.PrivateKeyPEM(), keyring.ErrSize},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := keyring.ParsePair(c.cert, c.key)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error quotes its input: %v", err)
			}
		})
	}
}

func ecdsaCertificate(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: start(), NotAfter: start().Add(day)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// smallCertificate has a key of 512 bits, of which only the public half is needed.
func smallCertificate(t testing.TB) []byte {
	t.Helper()
	issuer, template := generate(t, 0, 1024), &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: start(), NotAfter: start().Add(day)}
	key, err := x509.ParsePKCS1PrivateKey(decodePEM(t, issuer.PrivateKeyPEM()))
	if err != nil {
		t.Fatal(err)
	}
	small := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 511, 1), E: 65537}
	der, err := x509.CreateCertificate(rand.Reader, template, template, small, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func decodePEM(t testing.TB, text []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no PEM")
	}
	return block.Bytes
}

func TestValuesAreSealedToACertificateUntilItExpires(t *testing.T) {
	t.Parallel()
	pair := generate(t, 0, 2048)
	if key, err := keyring.ParseRecipient(pair.CertificatePEM(), pair.NotAfter()); err != nil || !key.Equal(pair.Public()) {
		t.Errorf("on its last moment: %v", err)
	}
	_, err := keyring.ParseRecipient(pair.CertificatePEM(), pair.NotAfter().Add(time.Second))
	var expired *keyring.ExpiredError
	if !errors.As(err, &expired) || err.Error() != "failed to encrypt using an expired certificate on October 29, 2036" {
		t.Errorf("after its last moment: %v", err)
	}
	if _, err := keyring.ParseRecipient(smallCertificate(t), start()); !errors.Is(err, keyring.ErrSize) {
		t.Errorf("a key to which nothing can be sealed: %v", err)
	}
	if _, err := keyring.ParseRecipient(ecdsaCertificate(t), start()); !errors.Is(err, keyring.ErrNotRSA) {
		t.Errorf("an ECDSA certificate: %v", err)
	}
	both := slices.Concat(pair.PrivateKeyPEM(), pair.CertificatePEM())
	if key, err := keyring.ParseRecipient(both, start()); err != nil || !key.Equal(pair.Public()) {
		t.Errorf("a certificate in a file that begins with its key: %v", err)
	}
	if _, err := keyring.ParseRecipient(pair.PrivateKeyPEM(), start()); !errors.Is(err, keyring.ErrNoCertificate) {
		t.Errorf("a private key: %v", err)
	}
}

func TestARingOrdersItsKeysNewestFirst(t *testing.T) {
	t.Parallel()
	oldest, middle, newest := generate(t, 60*day, 1024), generate(t, 30*day, 1024), generate(t, 0, 1024)
	big := generate(t, 10*day, 2048)
	ring := keyring.New(middle, newest, big, oldest, middle)

	if got, ok := ring.Newest(); !ok || got != newest {
		t.Error("the newest is not the newest")
	}
	if diff := cmp.Diff(fingerprints(newest, big, middle, oldest), members(ring)); diff != "" {
		t.Error(diff)
	}
	for name, c := range map[string]struct {
		size int
		hint string
		want []string
	}{
		"without a hint":                   {128, "", fingerprints(newest, middle, oldest)},
		"with a hint":                      {128, oldest.Fingerprint(), fingerprints(oldest, newest, middle)},
		"with the hint of a missing key":   {128, "SHA256:gone", fingerprints(newest, middle, oldest)},
		"of another size":                  {256, oldest.Fingerprint(), fingerprints(big)},
		"of a size that no key has":        {512, "", nil},
		"with the hint of the newest":      {128, newest.Fingerprint(), fingerprints(newest, middle, oldest)},
		"with the hint of another size":    {128, big.Fingerprint(), fingerprints(newest, middle, oldest)},
		"with the hint of the one in size": {256, big.Fingerprint(), fingerprints(big)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, k := range ring.Candidates(c.hint) {
				if k.Fits(keyring.Lock{Type: keyring.TypeRSA, Body: make([]byte, c.size)}) {
					got = append(got, k.Fingerprint())
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func fingerprints(pairs ...*keyring.Pair) []string {
	var out []string
	for _, p := range pairs {
		out = append(out, p.Fingerprint())
	}
	return out
}

func members(ring *keyring.Ring) []string {
	var out []string
	for k := range ring.All() {
		out = append(out, k.Fingerprint())
	}
	return out
}

func TestTheOrderCanFollowTheSecretInsteadOfTheCertificate(t *testing.T) {
	t.Parallel()
	a, b := generate(t, 60*day, 1024), generate(t, 0, 1024)
	ring := keyring.New(a.Ordered(start().Add(day)), b.Ordered(start()))
	if got, _ := ring.Newest(); got.Fingerprint() != a.Fingerprint() {
		t.Error("the pair of the newest Secret is not the newest")
	}
	if got, _ := keyring.New(a, b).Newest(); got != b {
		t.Error("ordering one copy changed the other")
	}
}

func TestTwoKeysOfTheSameAgeHaveOneOrder(t *testing.T) {
	t.Parallel()
	a, b := generate(t, 0, 1024), generate(t, 0, 1024)
	one, _ := keyring.New(a, b).Newest()
	two, _ := keyring.New(b, a).Newest()
	if one != two {
		t.Error("the newest key depends on the order in which keys were read")
	}
}

func TestAnEmptyRingHasNoKeys(t *testing.T) {
	t.Parallel()
	var none *keyring.Ring
	for name, ring := range map[string]*keyring.Ring{"nil": none, "zero": {}, "new": keyring.New()} {
		if _, ok := ring.Newest(); ok || ring.Len() != 0 || len(ring.Candidates("")) != 0 || len(slices.Collect(ring.All())) != 0 {
			t.Errorf("%s: a key came from nowhere", name)
		}
	}
}

func TestNoWayOfPrintingAPairShowsThePrivateKey(t *testing.T) {
	t.Parallel()
	pair := generate(t, 0, 1024)
	key, err := keyring.ParsePrivateKey(pair.PrivateKeyPEM())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", pair)
		fmt.Fprintf(&out, verb+"\n", *pair)
		fmt.Fprintf(&out, verb+"\n", []*keyring.Pair{pair})
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "pair", pair, "ring", keyring.New(pair))
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "pair", pair, "ring", keyring.New(pair))
	encoded, err := json.Marshal(map[string]any{"pair": pair})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(encoded)
	for _, secret := range []string{key.D.String(), fmt.Sprintf("%x", key.D), key.Primes[0].String(), "PRIVATE"} {
		if strings.Contains(out.String(), secret) {
			t.Fatal("a printed pair shows its private key")
		}
	}
}

func TestARingIsUsedFromManyGoroutinesAtOnce(t *testing.T) {
	t.Parallel()
	a, b := generate(t, 0, 1024), generate(t, day, 1024)
	ring := keyring.New(a, b)
	value, err := rsahybrid.Seal(rand.Reader, b.Public(), []byte("l"), []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := rsahybrid.Parse(value)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			keys := ring.Candidates("")
			lock := keyring.Lock{Type: keyring.TypeRSA, Body: envelope.Wrapped(), Label: []byte("l")}
			if _, err := keys[0].Unwrap(t.Context(), lock); !errors.Is(err, keyring.ErrWrongKey) {
				t.Errorf("the wrong key: %v", err)
			}
			if _, err := keys[1].Unwrap(t.Context(), lock); err != nil {
				t.Errorf("the right key: %v", err)
			}
		})
	}
	wg.Wait()
}

var (
	_ keyring.Member = (*keyring.Pair)(nil)
	_ keyring.Member = (*keyring.Identity)(nil)
)

// FuzzParsePair holds that no PEM makes the parser panic, and that what parses is a usable pair.
func FuzzParsePair(f *testing.F) {
	pair := generate(f, 0, 1024)
	f.Add(pair.CertificatePEM(), pair.PrivateKeyPEM())
	f.Add(pair.PrivateKeyPEM(), pair.CertificatePEM())
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		pair, err := keyring.ParsePair(cert, key)
		if err == nil && (pair.Public() == nil || !strings.HasPrefix(pair.Fingerprint(), "SHA256:")) {
			t.Error("a pair without a key was accepted")
		}
	})
}
