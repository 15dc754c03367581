package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"golang.org/x/crypto/ssh"

	"github.com/sealbridge/sealbridge/providers"
)

// sshConnection runs git-upload-pack on the server through one ssh session. Of go-git's own ssh transport nothing is used:
// it consults the agent, the environment and ssh_config, and does not heed the context while it connects.
type sshConnection struct {
	client  *ssh.Client
	session *ssh.Session
	stdin   io.WriteCloser
	stdout  io.Reader
	stderr  *tail
	limits  Limits
	stop    func() bool
}

var errHostKey = errors.New("host key mismatch")

// handshakeTimeout bounds how long a server may take to say who it is.
const handshakeTimeout = 20 * time.Second

func openSSH(ctx context.Context, r remote, auth Auth, limits Limits) (*sshConnection, error) {
	keys := auth.knownHosts.of(r.address())
	if len(keys) == 0 {
		return nil, providers.Errorf(providers.ErrInvalid,
			"known_hosts has no key for %s; add the lines of ssh-keyscan to the Secret of spec.secretRef", r.host)
	}
	conn, err := dial(ctx, "tcp", r.address())
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	c, err := handshake(conn, r, auth, keys, limits)
	if err != nil {
		stop()
		_ = conn.Close()
		return nil, err
	}
	c.stop = stop
	return c, nil
}

func handshake(conn net.Conn, r remote, auth Auth, keys []ssh.PublicKey, limits Limits) (*sshConnection, error) {
	mismatch := false
	config := &ssh.ClientConfig{
		User:              r.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(auth.signer)},
		HostKeyAlgorithms: algorithms(keys),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			for _, known := range keys {
				if bytes.Equal(known.Marshal(), key.Marshal()) {
					return nil
				}
			}
			mismatch = true
			return errHostKey
		},
	}
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	client, channels, requests, err := ssh.NewClientConn(conn, r.address(), config)
	var negotiation *ssh.AlgorithmNegotiationError
	switch {
	case mismatch:
		return nil, providers.Errorf(providers.ErrDenied,
			"the host key of %s is not the one in known_hosts; if the server got a new key, update the Secret of spec.secretRef, else somebody is in between", r.host)
	case errors.As(err, &negotiation):
		return nil, providers.Errorf(providers.ErrDenied,
			"the server has no host key of a kind that known_hosts has for %s; add the lines of ssh-keyscan", r.host)
	case err != nil && strings.Contains(err.Error(), "unable to authenticate"):
		return nil, providers.Errorf(providers.ErrDenied,
			"the server refuses the key in identity for the user %s; add its public key there as a deploy key", r.user)
	case err != nil:
		return nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return startUploadPack(ssh.NewClient(client, channels, requests), r.path, limits)
}

func startUploadPack(client *ssh.Client, path string, limits Limits) (*sshConnection, error) {
	session, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	c := &sshConnection{client: client, session: session, stderr: &tail{}, limits: limits}
	session.Stderr = c.stderr
	if c.stdin, err = session.StdinPipe(); err != nil {
		return nil, err
	}
	if c.stdout, err = session.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := session.Start(service + " " + quote(path)); err != nil {
		return nil, err
	}
	return c, nil
}

// quote makes one word of a path for the shell at the other end, as git does: in single quotes, with ' and ! outside.
func quote(path string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(path) + "'"
}

func (c *sshConnection) advertise(context.Context) (*packp.AdvRefs, error) {
	adv, err := decodeAdvertisement(&boundedReader{r: c.stdout, left: c.limits.AdvertisedBytes})
	if errors.Is(err, packp.ErrEmptyInput) {
		// The program ended without a word on its output, so that what it wrote to stderr is complete after Wait.
		_ = c.session.Wait()
		return nil, c.stderr.classify()
	}
	return adv, err
}

func (c *sshConnection) upload(_ context.Context, request []byte) (io.ReadCloser, error) {
	if _, err := c.stdin.Write(request); err != nil {
		return nil, fmt.Errorf("send the request: %w", err)
	}
	return io.NopCloser(c.stdout), nil
}

func (c *sshConnection) close() {
	c.stop()
	_ = c.session.Close()
	_ = c.client.Close()
}

// tail keeps the beginning of what a program says on stderr, to classify it; the text itself is shown to nobody.
type tail struct{ buf bytes.Buffer }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	if room := 4096 - t.buf.Len(); room > 0 {
		t.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (t *tail) classify() error {
	text := strings.ToLower(t.buf.String())
	for _, sign := range []string{"denied", "not authorized", "unauthorized", "permission"} {
		if strings.Contains(text, sign) {
			return providers.Errorf(providers.ErrDenied, "the server refuses access to the repository for the key in identity")
		}
	}
	for _, sign := range []string{"not found", "does not exist", "does not appear to be a git repository", "could not be found"} {
		if strings.Contains(text, sign) {
			return providers.Errorf(providers.ErrNotFound,
				"the server has no such repository, or does not show it to the key in identity")
		}
	}
	return providers.Errorf(providers.ErrUnavailable, "the server ended the session without an answer")
}
