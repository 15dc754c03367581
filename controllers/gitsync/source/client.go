package source

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/sealbridge/sealbridge/internal/proxy"
	"github.com/sealbridge/sealbridge/providers"
)

// Limits bound what one repository may cost. A zero field stands for its default.
type Limits struct {
	// TransferBytes is how many bytes of a transfer are accepted (256 MiB).
	TransferBytes int64
	// ObjectBytes is what they may unfold to (512 MiB).
	ObjectBytes int64
	// Objects is how many files, folders and commits there may be (500,000).
	Objects int64
	// AdvertisedBytes bounds the list of references (32 MiB).
	AdvertisedBytes int64
	// FileBytes is the size of the largest file that can be read (5 MiB).
	FileBytes int64
	// Time bounds a whole Resolve or Fetch (5 minutes); the caller's context can end it earlier.
	Time time.Duration
}

func (l Limits) withDefaults() Limits {
	set := func(field *int64, value int64) {
		if *field == 0 {
			*field = value
		}
	}
	set(&l.TransferBytes, 256<<20)
	set(&l.ObjectBytes, 512<<20)
	set(&l.Objects, 500_000)
	set(&l.AdvertisedBytes, 32<<20)
	set(&l.FileBytes, 5<<20)
	if l.Time == 0 {
		l.Time = 5 * time.Minute
	}
	return l
}

// Client resolves and fetches. It holds no connection between calls, and is safe for concurrent use.
type Client struct{ limits Limits }

// New returns a client with these limits.
func New(limits Limits) *Client { return &Client{limits: limits.withDefaults()} }

// Resolve returns the revision that spec.Ref stands for now. It costs one round trip (the list of references), and none
// for a commit. It fails with ErrInvalid, ErrDenied, ErrNotFound, ErrUnavailable or a ThrottledError.
func (c *Client) Resolve(ctx context.Context, spec Spec, auth Auth) (Revision, error) {
	r, err := parseURL(spec.URL)
	if err != nil {
		return Revision{}, err
	}
	if spec.Ref.Commit != "" {
		return bareCommit(spec.Ref)
	}
	ctx, cancel := context.WithTimeout(ctx, c.limits.Time)
	defer cancel()
	conn, err := c.open(ctx, r, auth)
	if err != nil {
		return Revision{}, c.explain(ctx, r, err)
	}
	defer conn.close()
	adv, err := conn.advertise(ctx)
	if err != nil {
		return Revision{}, c.explain(ctx, r, err)
	}
	revision, err := choose(adv, spec.Ref)
	if err != nil {
		return Revision{}, c.explain(ctx, r, err)
	}
	return revision, nil
}

// Fetch brings the tree of a revision into memory: that commit alone, when the server can hand it out by its hash, else
// (an old server, and a commit that is no longer the tip of anything) with the history in which it is found. Errors as for
// Resolve; ErrNotFound also when the commit is gone, by a forced push say: resolve again.
func (c *Client) Fetch(ctx context.Context, spec Spec, auth Auth, revision Revision) (*Tree, error) {
	r, err := parseURL(spec.URL)
	if err != nil {
		return nil, err
	}
	if !fullHash.MatchString(revision.Commit) {
		return nil, providers.Errorf(providers.ErrInvalid, "the revision names no commit")
	}
	ctx, cancel := context.WithTimeout(ctx, c.limits.Time)
	defer cancel()
	commit := plumbing.NewHash(revision.Commit)
	storage, err := c.transfer(ctx, r, auth, func(adv *packp.AdvRefs) ([]plumbing.Hash, bool) {
		return want(adv, commit)
	}, true)
	if errors.Is(err, errNotOffered) {
		storage, err = c.transfer(ctx, r, auth, func(adv *packp.AdvRefs) ([]plumbing.Hash, bool) {
			return tips(adv, spec.Ref), true
		}, false)
	}
	if err != nil {
		return nil, c.explain(ctx, r, err)
	}
	tree, err := newTree(storage, commit, c.limits)
	if err != nil {
		return nil, c.explain(ctx, r, err)
	}
	return tree, nil
}

var errNotOffered = errors.New("the server does not hand out this commit")

// want returns what to ask for to get a commit, and whether the server hands it out. What a tag points to is asked for by
// the tag, because servers without a further capability hand out nothing but what their references name.
func want(adv *packp.AdvRefs, commit plumbing.Hash) ([]plumbing.Hash, bool) {
	ok := adv.Capabilities.Supports(capability.AllowReachableSHA1InWant) ||
		adv.Capabilities.Supports(capability.AllowTipSHA1InWant) ||
		(adv.Head != nil && *adv.Head == commit)
	for _, hash := range adv.References {
		if hash == commit {
			return []plumbing.Hash{commit}, true
		}
	}
	for name, hash := range adv.Peeled {
		if hash == commit {
			return []plumbing.Hash{adv.References[name]}, true
		}
	}
	return []plumbing.Hash{commit}, ok
}

// tips are the references in whose history a commit is looked for: the branch or tag that the spec names, else all
// branches and tags.
func tips(adv *packp.AdvRefs, ref Ref) []plumbing.Hash {
	for _, name := range []string{branches + ref.Branch, tags + ref.Tag, ref.Name} {
		if hash, ok := adv.References[name]; ok {
			return []plumbing.Hash{hash}
		}
	}
	var all []plumbing.Hash
	for name, hash := range adv.References {
		if strings.HasPrefix(name, branches) || strings.HasPrefix(name, tags) {
			all = append(all, hash)
		}
	}
	return all
}

// transfer opens a connection, asks for what wants says and returns the objects.
func (c *Client) transfer(
	ctx context.Context, r remote, auth Auth, wants func(*packp.AdvRefs) ([]plumbing.Hash, bool), shallow bool,
) (*memory.Storage, error) {
	conn, err := c.open(ctx, r, auth)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	adv, err := conn.advertise(ctx)
	if err != nil {
		return nil, err
	}
	hashes, ok := wants(adv)
	if !ok || len(hashes) == 0 {
		return nil, errNotOffered
	}
	req, text, err := request(adv, hashes, shallow)
	if err != nil {
		return nil, err
	}
	answer, err := conn.upload(ctx, text)
	if err != nil {
		return nil, err
	}
	pack, err := receive(ctx, req, answer, c.limits)
	var refusal *pktline.ErrorLine
	if shallow && errors.As(err, &refusal) {
		// "upload-pack: not our ref": the capability was announced and does not reach this commit.
		return nil, errNotOffered
	}
	if err != nil {
		return nil, err
	}
	return unpack(ctx, pack, c.limits)
}

func (c *Client) open(ctx context.Context, r remote, auth Auth) (connection, error) {
	if auth.scheme != r.scheme {
		return nil, providers.Errorf(providers.ErrInvalid, "its credentials were read for another URL")
	}
	if r.scheme == "ssh" {
		return openSSH(ctx, r, auth, c.limits)
	}
	return openHTTPS(r, auth, c.limits), nil
}

// explain turns whatever went wrong into an error of a class, with a text that is the same for the same cause. Texts of
// the network, of libraries and of the server are not passed on: they hold ports, addresses and what the server likes.
func (c *Client) explain(ctx context.Context, r remote, err error) error {
	text, class := c.classify(ctx, r, err)
	if class == nil {
		return fmt.Errorf("repository %s: %w", r.display(), err)
	}
	classed := providers.Errorf(class, "repository %s: %s", r.display(), text)
	if errors.Is(err, errTooLarge) {
		return &overLimit{classed}
	}
	return classed
}

// ErrTooLarge is found by errors.Is, beside the class, in the errors about a repository that is over the limits.
var ErrTooLarge = errors.New("repository too large")

type overLimit struct{ error }

func (e *overLimit) Unwrap() []error { return []error{ErrTooLarge, e.error} }

func (c *Client) classify(ctx context.Context, r remote, err error) (text string, class error) {
	var (
		throttled *providers.ThrottledError
		origin    *otherOriginError
		dns       *net.DNSError
		refusal   *pktline.ErrorLine
	)
	switch {
	case errors.Is(err, context.Canceled) && errors.Is(ctx.Err(), context.Canceled):
		return "", nil
	case ctx.Err() != nil, overdue(ctx):
		return "no complete answer in time; see spec.timeout", providers.ErrUnavailable
	case errors.As(err, &throttled), isClassed(err):
		return "", nil
	case errors.As(err, &origin):
		if !isPlainHost(origin.host) {
			origin.host = "another server"
		}
		return fmt.Sprintf("it redirects to %s; credentials are not taken there, set spec.url to it", origin.host), providers.ErrInvalid
	case r.way().Fault(err) != "":
		return r.way().Fault(err), providers.ErrUnavailable
	case errors.Is(err, errForbiddenAddress):
		return "its host has a link-local, metadata or otherwise reserved address, where no repository may be", providers.ErrInvalid
	case errors.Is(err, errTooLarge):
		return c.limits.tooLarge() + ", which is the limit; split it or remove large files", providers.ErrInvalid
	case errors.Is(err, errNotGit):
		return "what answers there is not a Git repository over the smart protocol", providers.ErrInvalid
	case errors.Is(err, errEmpty):
		return "the repository is empty; push a commit", providers.ErrNotFound
	case errors.Is(err, errNotOffered), errors.Is(err, plumbing.ErrObjectNotFound), errors.Is(err, object.ErrUnsupportedObject):
		return "the commit is not, or no longer, in the repository", providers.ErrNotFound
	case errors.Is(err, errMalformedPack):
		return "the server sent objects that cannot be read", providers.ErrUnavailable
	case certificateFault(err) != "":
		return fmt.Sprintf("the certificate of %s %s", r.host, certificateFault(err)), providers.ErrDenied
	case errors.As(err, &dns) && dns.IsNotFound:
		return "its host is not known to DNS; correct spec.url", providers.ErrUnavailable
	case errors.Is(err, syscall.ECONNREFUSED):
		return "its host refuses connections; check that the server runs, and the port of spec.url", providers.ErrUnavailable
	case errors.As(err, &refusal):
		return "the server refuses the transfer", providers.ErrUnavailable
	default:
		return "the connection" + r.way().Through() + " failed; check that its server runs and can be reached from the controller", providers.ErrUnavailable
	}
}

// way is how the repository is reached; ssh goes through no proxy.
func (r remote) way() proxy.Way {
	if r.scheme != "https" {
		return proxy.Way{}
	}
	return proxy.To(r.https())
}

// overdue reports whether the time of a context is over: a connection that ends by it can fail a moment before the context says so.
func overdue(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

func isClassed(err error) bool {
	for _, class := range []error{providers.ErrInvalid, providers.ErrDenied, providers.ErrNotFound, providers.ErrUnavailable} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// certificateFault says what is wrong with a server's certificate and what to do; "" when nothing is.
func certificateFault(err error) string {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &hostname):
		return "is for other names; correct spec.url, or have the server show one for this name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "has expired or is not valid yet; renew it on the server, or correct the clock"
	case errors.As(err, &authority), errors.As(err, &invalid):
		return "is not trusted; put its authority into the entry ca.crt of the Secret of spec.secretRef"
	default:
		return ""
	}
}
