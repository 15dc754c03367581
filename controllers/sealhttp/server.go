package sealhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// DefaultTimeout is how long a request may take to arrive, and an answer to leave. Sealed Secrets allows two minutes;
// nothing here takes longer than a few bytes do.
const DefaultTimeout = 10 * time.Second

// Other bounds of one connection.
const (
	idleTimeout     = time.Minute
	maxHeaderBytes  = 16 << 10
	shutdownTimeout = 5 * time.Second
)

// Keys gives the current ring of sealing keys; *sealingkey.Keeper is one.
type Keys interface {
	// Ring returns the keys, nil before they were read for the first time.
	Ring() (*keyring.Ring, <-chan struct{})
}

// Options are the settings of a Server. Zero values mean what the fields say.
type Options struct {
	// Address to listen on, a host:port with either part empty as in net.Listen.
	Address string
	// Rate is how many requests a second each of verify and rotate answers, Burst how many more at once; zero means DefaultRate.
	Rate, Burst int
	// ReadTimeout bounds how long a request takes to arrive, WriteTimeout how long an answer takes to leave; zero means
	// DefaultTimeout.
	ReadTimeout, WriteTimeout time.Duration
	// RefuseDeprecated opens no spec.data.
	RefuseDeprecated bool
	// Recovery are recipients that are named beside the cluster's own, so that what is sealed from now on opens with the
	// offline keys of a disaster recovery, too.
	Recovery []*agebox.Recipient
	// Held says that values of the native format are sealed to a key that somebody else holds, where there is a choice.
	Held bool
	// Metrics receives the server's own metrics; nil for nobody.
	Metrics prometheus.Registerer
}

// Server serves the certificate, and judges and reseals SealedSecrets. It is a Runnable of a controller-runtime manager.
type Server struct {
	options Options
	keys    Keys
	meters  *meters
	// turn holds one token while a SealedSecret is read and opened, so that whoever sends them takes one core and the
	// memory of one of them at most.
	turn chan struct{}
}

// New returns a Server. It fails when another metric has the name of one of its own.
func New(keys Keys, o Options) (*Server, error) {
	if o.Rate == 0 {
		o.Rate = DefaultRate
	}
	if o.Burst == 0 {
		o.Burst = DefaultRate
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = DefaultTimeout
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = DefaultTimeout
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	meters, err := newMeters(o.Metrics)
	if err != nil {
		return nil, fmt.Errorf("set up the server of the sealing certificate: %w", err)
	}
	return &Server{options: o, keys: keys, meters: meters, turn: make(chan struct{}, 1)}, nil
}

// NeedLeaderElection is false: every replica answers.
func (*Server) NeedLeaderElection() bool { return false }

// Start serves until the context ends. It fails when it cannot listen.
func (s *Server) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.options.Address)
	if err != nil {
		return fmt.Errorf("serve the sealing certificate: %w", err)
	}
	return s.Serve(ctx, listener)
}

// Serve serves on a listener until the context ends, and closes it.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: s.options.ReadTimeout, ReadTimeout: s.options.ReadTimeout, WriteTimeout: s.options.WriteTimeout,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		BaseContext:    func(net.Listener) context.Context { return ctx },
	}
	log.FromContext(ctx).Info("serving the sealing certificate", "address", listener.Addr().String())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the sealing certificate: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	// Whoever still reads after the time of grace is cut off.
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the sealing certificate: %w", err)
	}
	return nil
}

// Handler answers the paths of the package; any other is 404, another method 405. Each handler has limits of its own.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /readyz", s.ready)
	for path, handler := range map[string]struct {
		method string
		http.Handler
	}{
		"/v1/cert.pem":   {http.MethodGet, http.HandlerFunc(s.certificate)},
		"/v1/recipients": {http.MethodGet, http.HandlerFunc(s.recipients)},
		"/v1/verify":     {http.MethodPost, s.limited(verifyUndecryptable, verify)},
		"/v1/rotate":     {http.MethodPost, s.limited(rotateUndecryptable, rotate)},
	} {
		mux.Handle(handler.method+" "+path, s.meters.counted(path, handler))
	}
	return mux
}

// Ready fails until the keys were read.
func (s *Server) Ready() error {
	if ring, _ := s.keys.Ring(); ring == nil {
		return errors.New("the sealing keys were not read yet")
	}
	return nil
}

// ready says whether the keys were read.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if err := s.Ready(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}

// ring returns the keys of the namespace that a request names, the common ones without a name, or says that there can be no
// such namespace.
func (s *Server) ring(w http.ResponseWriter, r *http.Request) (*keyring.Ring, bool) {
	ring, _ := s.keys.Ring()
	namespace := r.URL.Query().Get("namespace")
	if namespace != "" && len(validation.IsDNS1123Label(namespace)) > 0 {
		http.Error(w, "namespace is no name of a namespace", http.StatusBadRequest)
		return nil, false
	}
	return ring.For(namespace), true
}

func (s *Server) certificate(w http.ResponseWriter, r *http.Request) {
	ring, valid := s.ring(w, r)
	if !valid {
		return
	}
	newest, ok := ring.Newest()
	if !ok {
		refuse(w, http.StatusServiceUnavailable, sealing.NoKey)
		return
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = w.Write(newest.CertificatePEM()) //nolint:gosec // what the request says chooses the key, and is not written
}

// sealingTo returns the key that values of the native format are sealed to in a ring, nil when there is none. Where there is a
// holder, its key is the one of all namespaces; a namespace with keys of its own has the first of them.
func (s *Server) sealingTo(ring *keyring.Ring) keyring.Member {
	common, _ := s.keys.Ring()
	for key := range ring.All() {
		switch key.(type) {
		case keyring.Remote:
			return key
		case *keyring.Identity:
			if ring != common || !s.options.Held {
				return key
			}
		}
	}
	return nil
}

// recipients writes whom values of the native format are to be sealed to, as a recipients file of age.
func (s *Server) recipients(w http.ResponseWriter, r *http.Request) {
	ring, valid := s.ring(w, r)
	if !valid {
		return
	}
	var recipient *agebox.Recipient
	how := ""
	key := s.sealingTo(ring)
	switch key := key.(type) {
	case keyring.Remote:
		recipient, how = key.Recipient(), fmt.Sprintf("held by %s and not post-quantum, ", key.Holder())
	case *keyring.Identity:
		recipient = key.Recipient()
	default:
		text := "there is no sealing key of the native format"
		if s.options.Held {
			text = "whoever holds the sealing key has not said which it is; see the log of the controller"
		}
		http.Error(w, text, http.StatusServiceUnavailable)
		return
	}
	// To leave the recovery keys out would be noticed when they are needed.
	if slices.ContainsFunc(s.options.Recovery, func(r *agebox.Recipient) bool { return r.Held() != recipient.Held() }) {
		http.Error(w, "the recovery recipients and the cluster's key cannot be mixed, because one of them is post-quantum and the other is not: "+
			"give --recovery-recipients of the same kind as the cluster's", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintf(w, "# this cluster, key %s, %ssince %s\n%s\n", key.Fingerprint(), how, made(key).UTC().Format(time.RFC3339), recipient)
	for _, r := range s.options.Recovery {
		_, _ = fmt.Fprintf(w, "# recovery, key %s\n%s\n", r.Fingerprint(), r)
	}
}

// made is when a key was made, whatever its place in the order.
func made(key keyring.Member) time.Time {
	if dated, ok := key.(interface{ NotBefore() time.Time }); ok {
		return dated.NotBefore()
	}
	return key.Since()
}
