package gitserver

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// sshServer accepts one client key and executes git-upload-pack and git-receive-pack.
type sshServer struct {
	server     *Server
	config     *ssh.ServerConfig
	listener   net.Listener
	address    string
	knownHosts []byte
	client     ssh.PublicKey
	clientKey  []byte

	cancel context.CancelFunc
	done   sync.WaitGroup
}

func startSSH(ctx context.Context, server *Server) (*sshServer, error) {
	host, _, err := newKey()
	if err != nil {
		return nil, err
	}
	client, clientKey, err := newKey()
	if err != nil {
		return nil, err
	}
	s := &sshServer{server: server, client: client.PublicKey(), clientKey: clientKey}
	s.config = &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if bytes.Equal(key.Marshal(), s.client.Marshal()) {
			return &ssh.Permissions{}, nil
		}
		return nil, errors.New("unknown key")
	}}
	s.config.AddHostKey(host)
	if s.listener, err = listen(ctx); err != nil {
		return nil, err
	}
	s.address = s.listener.Addr().String()
	s.knownHosts = knownHostsLine(s.address, host.PublicKey())
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.done.Go(func() { s.accept(ctx) })
	return s, nil
}

func newKey() (ssh.Signer, []byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("create ssh key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("create ssh key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, nil, fmt.Errorf("create ssh key: %w", err)
	}
	return signer, pem.EncodeToMemory(block), nil
}

func knownHostsLine(address string, key ssh.PublicKey) []byte {
	return []byte(knownhosts.Line([]string{address}, key) + "\n")
}

func (s *sshServer) stop() {
	s.cancel()
	_ = s.listener.Close() // ends accept; a second Close fails, which is fine
	s.done.Wait()
}

func (s *sshServer) accept(ctx context.Context) {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return // closed by stop
		}
		s.done.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			s.serve(ctx, conn)
		})
	}
}

func (s *sshServer) serve(ctx context.Context, conn net.Conn) {
	fault := s.server.currentFault()
	if fault.Down || !wait(ctx, fault.Delay) {
		return
	}
	if fault.Garbage {
		_, _ = conn.Write(garbage())
		return
	}
	sshConn, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return // the client's login failed or it went away
	}
	defer sshConn.Close()
	go ssh.DiscardRequests(requests)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for newChannel := range channels {
		if newChannel.ChannelType() != "session" {
			_ = newChannel.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		channel, requests, err := newChannel.Accept()
		if err != nil {
			return
		}
		sessions.Go(func() { s.session(ctx, channel, requests) })
	}
}

// session answers the requests of one session: environment (only GIT_PROTOCOL counts), then one command.
func (s *sshServer) session(ctx context.Context, channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	var protocol string
	for request := range requests {
		switch request.Type {
		case "env":
			var pair struct{ Name, Value string }
			if ssh.Unmarshal(request.Payload, &pair) == nil && pair.Name == "GIT_PROTOCOL" {
				protocol = pair.Value
			}
			reply(request, true)
		case "exec":
			var command struct{ Line string }
			err := ssh.Unmarshal(request.Payload, &command)
			reply(request, err == nil)
			go ssh.DiscardRequests(requests)
			status := s.run(ctx, channel, command.Line, protocol)
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
			return
		default:
			reply(request, false)
		}
	}
}

func reply(request *ssh.Request, ok bool) {
	if request.WantReply {
		_ = request.Reply(ok, nil)
	}
}

// run executes "git-upload-pack 'repo.git'" and its like in the folder of the repositories, and returns the exit status.
func (s *sshServer) run(ctx context.Context, channel ssh.Channel, line, protocol string) uint32 {
	verb, path, _ := strings.Cut(line, " ")
	if verb != "git-upload-pack" && verb != "git-receive-pack" {
		_, _ = io.WriteString(channel.Stderr(), "only git\n")
		return 128
	}
	name := strings.TrimPrefix(filepath.Clean("/"+strings.Trim(path, "'\"")), "/")
	fault := s.server.record("ssh " + verb + " " + name)
	switch {
	case fault.Status != 0:
		_, _ = io.WriteString(channel.Stderr(), "remote: unavailable\n")
		return 128
	case fault.Endless:
		endless(ctx, channel)
		return 0
	}
	cmd := exec.CommandContext(ctx, s.server.git, strings.TrimPrefix(verb, "git-"), filepath.Join(s.server.opts.Dir, name))
	cmd.Env = s.server.env()
	if protocol != "" {
		cmd.Env = append(cmd.Env, "GIT_PROTOCOL="+protocol)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 128
	}
	cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
	if err := cmd.Start(); err != nil {
		return 128
	}
	go func() {
		_, _ = io.Copy(stdin, channel)
		_ = stdin.Close()
	}()
	if err := cmd.Wait(); err != nil {
		return 128
	}
	return 0
}
