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
	// Rate is how many requests a second each of verify and rotate answers; zero means DefaultRate.
	Rate int
	// Burst is how many more at once; nil means DefaultRate.
	Burst *int
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
	if o.Burst == nil {
		o.Burst = new(DefaultRate)
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

// rings returns the keys of the namespace that a request names, the common ones without a name, and the common ones; or it says that
// there can be no such namespace.
func (s *Server) rings(w http.ResponseWriter, r *http.Request) (own, common *keyring.Ring, valid bool) {
	common, _ = s.keys.Ring()
	namespace := r.URL.Query().Get("namespace")
	if namespace != "" && len(validation.IsDNS1123Label(namespace)) > 0 {
		http.Error(w, "namespace is no name of a namespace", http.StatusBadRequest)
		return nil, nil, false
	}
	return common.For(namespace), common, true
}

// apart says whether some keys are those of a namespace where none of the common ones opens anything.
func apart(own, common *keyring.Ring) bool {
	for key := range own.All() {
		if common.Has(key.Fingerprint()) {
			return false
		}
	}
	return own != common
}

func (s *Server) certificate(w http.ResponseWriter, r *http.Request) {
	own, common, valid := s.rings(w, r)
	if !valid {
		return
	}
	newest, ok := own.Newest()
	switch {
	case ok:
	case apart(own, common):
		refuse(w, http.StatusServiceUnavailable, sealing.NoKeyOfNamespace)
		return
	default:
		refuse(w, http.StatusServiceUnavailable, sealing.NoKey)
		return
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = w.Write(newest.CertificatePEM()) //nolint:gosec // what the request says chooses the key, and is not written
}

// sealingTo returns the key that values of the native format are sealed to in a namespace with some keys, nil when there is none.
// Where there is a holder, its key is that of everybody in the place of the other common ones; a namespace with keys of its own has
// the first of all that open there.
func (s *Server) sealingTo(own, common *keyring.Ring) keyring.Member {
	for key := range own.All() {
		switch key.(type) {
		case keyring.Remote:
			return key
		case *keyring.Identity:
			if !s.options.Held || !common.Has(key.Fingerprint()) {
				return key
			}
		}
	}
	return nil
}

// recipients writes whom values of the native format are to be sealed to, as a recipients file of age.
func (s *Server) recipients(w http.ResponseWriter, r *http.Request) {
	own, common, valid := s.rings(w, r)
	if !valid {
		return
	}
	var recipient *agebox.Recipient
	how := ""
	key := s.sealingTo(own, common)
	switch key := key.(type) {
	case keyring.Remote:
		recipient, how = key.Recipient(), fmt.Sprintf("held by %s and not post-quantum, ", key.Holder())
	case *keyring.Identity:
		recipient = key.Recipient()
	default:
		why := sealing.NoNativeKey
		switch {
		case apart(own, common):
			why = sealing.NoKeyOfNamespace
		case s.options.Held:
			why = sealing.KeyNotKnown
		}
		refuse(w, http.StatusServiceUnavailable, why)
		return
	}
	// To leave the recovery keys out would be noticed when they are needed.
	if slices.ContainsFunc(s.options.Recovery, func(r *agebox.Recipient) bool { return r.Held() != recipient.Held() }) {
		refuse(w, http.StatusServiceUnavailable, sealing.MixedRecovery)
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
