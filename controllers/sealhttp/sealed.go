package sealhttp

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"time"

	"golang.org/x/time/rate"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// DefaultRate is how many requests a second are answered, and how many more at once. As in Sealed Secrets 0.40; but its rate is
// for each value of X-Forwarded-For, which the sender chooses, and ours for all senders together.
const DefaultRate = 2

// maxBody bounds what anybody may send: more than the API server takes for an object.
const maxBody = 10 << 20

// waitTimeout is how long a request waits for its turn, workTimeout how long the private keys work for it: more values
// than an object can hold need less.
const (
	waitTimeout = 5 * time.Second
	workTimeout = 30 * time.Second
)

// The codes for a SealedSecret that cannot be opened.
const (
	verifyUndecryptable = http.StatusConflict
	rotateUndecryptable = http.StatusInternalServerError
)

// answer writes what is to be said about a SealedSecret.
type answer func(ctx context.Context, w http.ResponseWriter, r *http.Request, received *sealing.Received, ring *keyring.Ring)

// limited reads one SealedSecret within the bounds; undecryptable is the code for one that cannot be opened. Its answers are
// fixed texts, which say nothing of what was sent.
func (s *Server) limited(undecryptable int, give answer) http.Handler {
	// The one that the rate allows, and those of the burst, as Sealed Secrets counts.
	limiter := rate.NewLimiter(rate.Limit(s.options.Rate), 1+*s.options.Burst)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !limiter.Allow() {
			later(w, http.StatusTooManyRequests, sealing.TooManyRequests)
			return
		}
		ring, _ := s.keys.Ring()
		if !hasKeys(ring) {
			later(w, http.StatusServiceUnavailable, sealing.NoKey)
			return
		}
		s.extendDeadlines(w)
		wait, cancel := context.WithTimeout(r.Context(), waitTimeout)
		defer cancel()
		select {
		case s.turn <- struct{}{}:
			defer func() { <-s.turn }()
		case <-wait.Done():
			later(w, http.StatusServiceUnavailable, sealing.Busy)
			return
		}
		received, ok := receive(w, r)
		if !ok {
			return
		}
		ring, _ = s.keys.Ring() // a key that was retired while the request waited and arrived is sealed to no more
		own := ring.For(received.Namespace())
		switch {
		case own.Len() == 0:
			later(w, http.StatusServiceUnavailable, sealing.NoKey)
		case s.options.RefuseDeprecated && received.Deprecated():
			refuse(w, undecryptable, sealing.DeprecatedData)
		default:
			work, cancel := context.WithTimeout(r.Context(), workTimeout)
			defer cancel()
			give(work, w, r, received, own)
		}
	})
}

// hasKeys says whether there is any key, common or of a namespace.
func hasKeys(ring *keyring.Ring) bool {
	for range ring.Namespaces() {
		return true
	}
	return ring.Len() > 0
}

// extendDeadlines gives one request the time for its turn and for the private keys. Where a writer has no deadlines there
// is none to extend.
func (s *Server) extendDeadlines(w http.ResponseWriter) {
	now, controller := time.Now(), http.NewResponseController(w)
	_ = controller.SetReadDeadline(now.Add(waitTimeout + s.options.ReadTimeout))
	_ = controller.SetWriteDeadline(now.Add(waitTimeout + s.options.ReadTimeout + workTimeout + s.options.WriteTimeout))
}

// receive returns the SealedSecret of the body, or says what is wrong with it.
func receive(w http.ResponseWriter, r *http.Request) (*sealing.Received, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, sealing.BodyTooLarge)
		return nil, false
	case err != nil:
		refuse(w, http.StatusBadRequest, sealing.BodyBroken)
		return nil, false
	}
	received, err := sealing.ReadReceived(body, maxBody)
	if err != nil {
		refuse(w, http.StatusInternalServerError, sealing.NotOne)
		return nil, false
	}
	return received, true
}

// verify answers whether all values open. The templates are not looked at: nobody has sealed them, so that an answer that
// depended on them would tell whoever writes one about the values.
func verify(ctx context.Context, w http.ResponseWriter, _ *http.Request, received *sealing.Received, ring *keyring.Ring) {
	if err := received.Verify(ctx, ring); err != nil {
		fail(ctx, w, err, verifyUndecryptable)
	}
}

// rotate answers the same SealedSecret, its values sealed to the newest key of their format. With ?keep=current those that are
// sealed to it already stay as they are; without it they are sealed anew too, as whoever runs kubeseal --re-encrypt expects. The
// controller of Sealed Secrets does not look at queries.
func rotate(ctx context.Context, w http.ResponseWriter, r *http.Request, received *sealing.Received, ring *keyring.Ring) {
	to := newest(ring)
	to.KeepCurrent = r.URL.Query().Get("keep") == "current"
	text, err := received.Reseal(ctx, ring, rand.Reader, to)
	if err != nil {
		fail(ctx, w, err, rotateUndecryptable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n'))
}

func newest(ring *keyring.Ring) seal.Newest {
	var out seal.Newest
	if pair, ok := ring.Newest(); ok {
		out.Compat = pair.Public()
	}
	if identity, ok := ring.NewestIdentity(); ok {
		out.Native = identity.Recipient()
	}
	if held, ok := ring.NewestRemote(); ok {
		out.Held = held.Recipient()
	}
	return out
}

func fail(ctx context.Context, w http.ResponseWriter, err error, undecryptable int) {
	switch {
	case errors.Is(err, sealing.ErrUndecryptable):
		refuse(w, undecryptable, sealing.Undecryptable)
	case ctx.Err() != nil:
		later(w, http.StatusServiceUnavailable, sealing.TooManyValues)
	default:
		log.FromContext(ctx).Error(err, "a SealedSecret that was sent could not be judged")
		later(w, http.StatusServiceUnavailable, sealing.KeyOutOfReach)
	}
}

// refuse says why.
func refuse(w http.ResponseWriter, code int, why sealing.Refusal) { http.Error(w, string(why), code) }

// later turns away whoever may come again in a second.
func later(w http.ResponseWriter, code int, why sealing.Refusal) {
	w.Header().Set("Retry-After", "1")
	refuse(w, code, why)
}
