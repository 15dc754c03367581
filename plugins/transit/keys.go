package transit

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
)

// versions are the versions of a key that Vault decrypts with.
type versions struct {
	members     []keyring.Member
	byName      map[string]bool // the fingerprints
	min, latest int
}

// known is what Vault said of the key's versions, when it was asked last, and why it could not answer then.
type known struct {
	*versions
	asked   time.Time
	failure error
	// missed are versions that it was asked for out of turn since it was in turn, and did not name.
	missed []int
}

// Ask asks Vault for the versions of the key. When that fails, Keys returns those that are known from before.
func (c *Client) Ask(ctx context.Context) error {
	c.asking.Lock() // not for longer than a question takes
	defer c.asking.Unlock()
	return c.learn(ctx).failure
}

// learn asks Vault and returns what is known then. Whoever calls it holds c.asking, so that no answer takes the place of a later one.
func (c *Client) learn(ctx context.Context) *known {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	now := &known{asked: c.o.Now()}
	if now.versions, now.failure = c.read(ctx); now.failure != nil {
		now.versions = c.known.Load().versions
	}
	c.known.Store(now)
	return now
}

// askFor asks Vault out of turn for a version that it has not named, unless it was asked a moment ago, and returns what is known then.
func (c *Client) askFor(ctx context.Context, version int) *known {
	c.asking.Lock()
	defer c.asking.Unlock()
	before := c.known.Load()
	if before.failure != nil || version <= before.latest || slices.Contains(before.missed, version) || c.o.Now().Sub(before.asked) < rest {
		return before
	}
	now := c.learn(ctx)
	if now.failure != nil || version <= now.latest {
		return now
	}
	k := *now
	k.missed = append(slices.Clone(before.missed), version)
	c.known.Store(&k)
	return &k
}

// Keys returns the versions of the key for a ring: a keyring.Remote for each that Vault decrypts with, and a key that knows
// why the others do not open. While Vault has not said anything yet, it knows that every value for the key is one that
// cannot be opened now.
func (c *Client) Keys() []keyring.Member {
	k := c.known.Load()
	return append(slices.Clone(k.members), &others{client: c, name: c.Name(), known: k.versions, failure: k.failure})
}

func (c *Client) read(ctx context.Context) (*versions, error) {
	path := c.o.Mount + "/keys/" + c.o.Key
	r, err := c.ask(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	switch {
	case r.genuine && r.status == http.StatusForbidden:
		return nil, c.errorf("vault refuses to show the key: the policies of role %q must grant \"read\" on %s", c.o.Role, path)
	case r.genuine && r.status == http.StatusNotFound && r.says("no handler for route"):
		return nil, c.errorf("vault has no transit engine at %s; enable it, or correct --transit-key", c.o.Mount)
	case r.genuine && r.status == http.StatusNotFound:
		return nil, c.errorf("vault has no such key; create it: vault write %s type=rsa-4096", path)
	case r.status != http.StatusOK || r.Data == nil:
		return nil, c.unexpected(path, r)
	}
	v, err := c.parse(r.Data)
	if errors.Is(err, errShape) {
		err = c.unexpected(path, r)
	}
	return v, err
}

// errShape is of an answer that describes no key.
var errShape = errors.New("not the description of a key")

// description is what Vault says of a key.
type description struct {
	Type   string `json:"type"`
	Min    int    `json:"min_decryption_version"`
	Latest int    `json:"latest_version"`
	// Keys has another shape for keys of other types.
	Keys json.RawMessage `json:"keys"`
}

// parse reads what Vault says of the key; it fails with errShape for what is no such thing.
func (c *Client) parse(raw []byte) (*versions, error) {
	var data description
	if json.Unmarshal(raw, &data) != nil {
		return nil, errShape
	}
	switch data.Type {
	case "rsa-2048", "rsa-3072", "rsa-4096":
	default:
		return nil, c.errorf("the key cannot be sealed to without vault; use another of the type rsa-4096")
	}
	var keys map[string]struct {
		PublicKey string    `json:"public_key"`
		Created   time.Time `json:"creation_time"`
	}
	if json.Unmarshal(data.Keys, &keys) != nil || len(keys) == 0 {
		return nil, errShape
	}
	v := &versions{byName: map[string]bool{}, min: data.Min, latest: data.Latest}
	numbers := map[int]string{}
	for text := range keys {
		if n, err := strconv.Atoi(text); err == nil {
			numbers[n] = text
		}
	}
	var after time.Time
	for _, n := range slices.Sorted(maps.Keys(numbers)) {
		entry := keys[numbers[n]]
		public, err := parsePublic(entry.PublicKey)
		if err != nil {
			return nil, errShape
		}
		recipient, err := agebox.NewHeld(c.Name(), strconv.Itoa(n), public)
		if err != nil {
			return nil, errShape
		}
		// A later version is newer, whatever the clocks said.
		if after = after.Add(1); entry.Created.After(after) {
			after = entry.Created
		}
		v.members = append(v.members, &key{client: c, recipient: recipient, version: n, since: after, size: public.Size()})
		v.byName[recipient.Fingerprint()] = true
	}
	return v, nil
}

func parsePublic(text string) (*rsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("no PEM")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := public.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("no RSA key")
	}
	return key, nil
}

// key is one version of the transit key.
type key struct {
	client    *Client
	recipient *agebox.Recipient
	version   int
	since     time.Time
	size      int
}

var _ keyring.Remote = (*key)(nil)

// Fingerprint implements keyring.Key.
func (k *key) Fingerprint() string { return k.recipient.Fingerprint() }

// Since implements keyring.Member.
func (k *key) Since() time.Time { return k.since }

// Recipient implements keyring.Remote.
func (k *key) Recipient() *agebox.Recipient { return k.recipient }

// Holder implements keyring.Remote.
func (k *key) Holder() string { return fmt.Sprintf("Vault, %s version %d", k.client.Name(), k.version) }

// Fits implements keyring.Key: the fingerprint decides, whatever name and version the lock has.
func (k *key) Fits(l keyring.Lock) bool {
	return l.Type == agebox.HeldLockType && l.Key == k.Fingerprint() && len(l.Body) == k.size
}

// Unwrap implements keyring.Key: one request to Vault.
func (k *key) Unwrap(ctx context.Context, l keyring.Lock) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !k.Fits(l) {
		return nil, keyring.ErrWrongKey
	}
	c := k.client
	order, err := c.gate.enter()
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	fileKey, err := c.decrypt(bounded, k.version, l.Body)
	switch {
	case errors.Is(err, keyring.ErrWrongKey), errors.Is(err, keyring.ErrRetired):
		c.gate.leave(order, nil)
	case ctx.Err() != nil && err != nil:
		c.gate.giveUp(order)
		return nil, ctx.Err()
	default:
		c.gate.leave(order, err)
	}
	return fileKey, err
}

// decrypt has Vault decrypt what is encrypted to a version.
func (c *Client) decrypt(ctx context.Context, version int, body []byte) ([]byte, error) {
	path := c.o.Mount + "/decrypt/" + c.o.Key
	r, err := c.ask(ctx, http.MethodPost, path, map[string]string{
		"ciphertext": fmt.Sprintf("vault:v%d:%s", version, base64.StdEncoding.EncodeToString(body)),
	})
	if err != nil {
		return nil, err
	}
	switch {
	case r.says("failed to RSA decrypt"): // 500 in Vault 1.13
		return nil, keyring.ErrWrongKey
	case r.says("(too old)"):
		return nil, retired(c.Name(), strconv.Itoa(version))
	case r.genuine && r.status == http.StatusForbidden:
		return nil, c.errorf("vault refuses to decrypt: the policies of role %q must grant \"update\" on %s", c.o.Role, path)
	case r.genuine && r.says("encryption key not found"):
		return nil, c.errorf("vault has no such key any more; restore it from a backup of vault")
	case r.genuine && r.status == http.StatusNotFound:
		return nil, c.errorf("vault has no transit engine at %s; enable it, or correct --transit-key", c.o.Mount)
	case r.status != http.StatusOK:
		return nil, c.unexpected(path, r)
	}
	var data struct {
		Plaintext []byte `json:"plaintext"`
	}
	if json.Unmarshal(r.Data, &data) != nil {
		return nil, c.unexpected(path, r)
	}
	clear(r.Data)
	return data.Plaintext, nil
}

// retired says that Vault does not decrypt with a version any more.
func retired(name, version string) error {
	return fmt.Errorf("%w: version %s of the transit key %s is below its min_decryption_version in vault; "+
		"seal the value again, or lower min_decryption_version for as long as that takes (a version that was trimmed is gone)", keyring.ErrRetired, version, name)
}

// others stands for the versions of the transit key that Vault has not shown. It opens what it shows when it is asked again, and knows
// why nothing else opens.
type others struct {
	client  *Client
	name    string
	known   *versions
	failure error
}

// Fingerprint implements keyring.Key. It differs whenever what is known differs, so that a ring is replaced then.
func (o *others) Fingerprint() string {
	return fmt.Sprintf("transit key %s, versions %d to %d, %v", o.name, o.known.min, o.known.latest, o.failure == nil)
}

// Since implements keyring.Member: it is tried last.
func (*others) Since() time.Time { return time.Time{} }

// Fits implements keyring.Key: locks that name the transit key and none of the versions that are known.
func (o *others) Fits(l keyring.Lock) bool {
	return l.Type == agebox.HeldLockType && len(l.Args) == 2 && l.Args[0] == o.name && !o.known.byName[l.Key]
}

// Unwrap implements keyring.Key. What the lock says of its version explains, and decides nothing that matters: another key of
// the same name opens with nobody here either way.
func (o *others) Unwrap(ctx context.Context, l keyring.Lock) ([]byte, error) {
	version, err := strconv.Atoi(l.Args[1])
	switch {
	case o.known.latest == 0 && o.failure != nil:
		return nil, o.failure
	case err != nil:
		return nil, keyring.ErrWrongKey
	case version < o.known.min:
		return nil, retired(o.name, l.Args[1])
	case version > o.known.latest && o.failure != nil:
		return nil, o.failure // it may have been rotated since
	case version > o.known.latest:
		return o.client.unwrapNewer(ctx, l, version)
	default:
		return nil, keyring.ErrWrongKey
	}
}

// unwrapNewer is for a lock of a version that was not known: of several replicas another may have noticed first that the key was rotated.
// Values that make up versions cost Vault one request each rest.
func (c *Client) unwrapNewer(ctx context.Context, l keyring.Lock, version int) ([]byte, error) {
	k := c.askFor(ctx, version)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, m := range k.members {
		if m.Fits(l) {
			return m.Unwrap(ctx, l)
		}
	}
	switch {
	case version <= k.latest, slices.Contains(k.missed, version):
		return nil, keyring.ErrWrongKey
	case k.failure != nil:
		return nil, k.failure
	default:
		return nil, c.errorf("vault has not named version %d of the key; it is asked again in a moment", version)
	}
}
