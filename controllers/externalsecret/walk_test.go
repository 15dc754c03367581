package externalsecret_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/providers"
)

// walk does things at random to one ExternalSecret, its store and its Secret, and knows what the Secret must become.
type walk struct {
	*world
	random *rand.Rand
	// fields are what the store holds, and keys what the ExternalSecret reads of it; with rendered they go through a template.
	fields   map[string]string
	keys     []string
	rendered bool
	bad      atomic.Bool
	said     []string
}

func (w *walk) say(format string, args ...any) { w.said = append(w.said, fmt.Sprintf(format, args...)) }

// store changes what the store holds.
func (w *walk) rotate() {
	w.fields = map[string]string{}
	for _, key := range []string{"a", "b", "c"} {
		w.fields[key] = fmt.Sprint(key, w.random.IntN(3))
	}
	w.say("the store holds %v", w.fields)
	w.backend.put("db", fmt.Sprintf(`{"a":%q,"b":%q,"c":%q}`, w.fields["a"], w.fields["b"], w.fields["c"]))
}

// choose changes what the ExternalSecret asks for.
func (w *walk) choose() {
	w.keys = []string{"a", "b", "c"}[:1+w.random.IntN(3)]
	w.rendered = w.random.IntN(2) == 0
	w.say("the ExternalSecret reads %v, template: %v", w.keys, w.rendered)
}

// spec gives an ExternalSecret what was chosen.
func (w *walk) spec(es *esv1.ExternalSecret) {
	es.Spec.RefreshInterval = &metav1.Duration{Duration: time.Second}
	es.Spec.Data, es.Spec.Target.Template = nil, nil
	for _, key := range w.keys {
		es.Spec.Data = append(es.Spec.Data, esv1.Data{SecretKey: key, RemoteRef: esv1.RemoteRef{Key: "db", Property: key}})
	}
	if w.rendered {
		es.Spec.Target.Template = &esv1.Template{Data: map[string]string{"made": "{{ .a }}-" + w.keys[len(w.keys)-1]},
			Metadata: esv1.TemplateMetadata{Labels: map[string]string{"team": "{{ .a }}"}}}
	}
}

// want is what the Secret holds then.
func (w *walk) want() map[string]string {
	if w.rendered {
		return map[string]string{"made": w.fields["a"] + "-" + w.keys[len(w.keys)-1]}
	}
	out := map[string]string{}
	for _, key := range w.keys {
		out[key] = w.fields[key]
	}
	return out
}

// act does one thing.
func (w *walk) act() {
	w.t.Helper()
	es := w.externalSecret("app")
	switch w.random.IntN(10) {
	case 0, 1:
		w.rotate()
	case 2, 3:
		w.choose()
		change(w.world, es, w.spec)
	case 4:
		w.say("another object of the name")
		if err := w.c.Delete(w.t.Context(), es); err != nil {
			w.t.Fatal(err)
		}
		w.eventually("the object is gone", func() error {
			if err := w.c.Get(w.t.Context(), client.ObjectKeyFromObject(es), es); err == nil {
				return errors.New("it is there")
			}
			return nil
		})
		w.choose()
		w.create(w.externalSecret("app", w.spec))
	case 5:
		w.say("delete the Secret")
		w.byHand(func(s *corev1.Secret) error { return w.c.Delete(w.t.Context(), s) })
	case 6:
		w.say("edit the Secret")
		w.byHand(func(s *corev1.Secret) error {
			return w.c.Patch(w.t.Context(), s, client.RawPatch(types.MergePatchType, []byte(`{"data":{"a":"ZWRpdGVk"},"metadata":{"labels":{"team":"edited"}}}`)))
		})
	case 7:
		w.say("the store is down")
		w.backend.fail(providers.Errorf(providers.ErrUnavailable, "down"))
	case 8:
		w.say("the store is up")
		w.backend.fail(nil)
	default:
		w.say("restart")
		w.stop()
		w.bad.Store(false) // a process that cannot even begin ends
		w.start()
	}
}

// byHand does something to the Secret, if it is there.
func (w *walk) byHand(do func(*corev1.Secret) error) {
	w.t.Helper()
	s := &corev1.Secret{}
	s.Namespace, s.Name = w.ns, "app"
	if err := do(s); client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
}

// differs says how the cluster is not what it must be; "" when it is.
func (w *walk) differs() string {
	es, secret := w.externalSecret("app"), &corev1.Secret{}
	name := client.ObjectKeyFromObject(es)
	if err := errors.Join(w.c.Get(w.t.Context(), name, es), w.c.Get(w.t.Context(), name, secret)); err != nil {
		return err.Error()
	}
	got := map[string]string{}
	for key, value := range secret.Data {
		got[key] = string(value)
	}
	ready := conditions.Ready(es.Status.Conditions)
	switch {
	case !maps.Equal(got, w.want()):
		return fmt.Sprintf("the Secret holds %v, want %v", got, w.want())
	case w.rendered && secret.Labels["team"] != w.fields["a"]: // else it may be somebody else's
		return fmt.Sprintf("its label is %q, want %q", secret.Labels["team"], w.fields["a"])
	case ready.Status != metav1.ConditionTrue || es.Status.ObservedGeneration != es.Generation:
		return fmt.Sprintf("generation %d of %d is reported: %+v", es.Status.ObservedGeneration, es.Generation, ready)
	}
	return ""
}

// lossy loses one of seven requests before it is carried out and one after, while it is bad.
func (w *walk) lossy() func(*http.Request, http.RoundTripper) (*http.Response, error) {
	var n atomic.Uint64
	return func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if !w.bad.Load() {
			return next.RoundTrip(req)
		}
		switch n.Add(1) % 7 {
		case 0:
			return nil, errors.New("connection refused")
		case 1:
			if resp, err := next.RoundTrip(req); err == nil {
				resp.Body.Close()
			}
			return nil, errors.New("connection reset")
		default:
			return next.RoundTrip(req)
		}
	}
}

// TestWhateverHappensTheSecretComesToWhatTheStoreHolds lets people rotate, change, delete and edit, and the store fail, in an
// order made at random, while requests to the API server are lost before or after they were carried out, and the controller
// is restarted.
func TestWhateverHappensTheSecretComesToWhatTheStoreHolds(t *testing.T) {
	t.Parallel()
	for range 3 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := &walk{world: prepare(t), random: rand.New(rand.NewPCG(seed, 1))}
			w.patience = 2 * time.Minute
			w.traffic.fault = w.lossy()
			w.start()
			w.store("store")
			w.rotate()
			w.choose()
			w.create(w.externalSecret("app", w.spec))
			for range 3 {
				for range 8 {
					w.bad.Store(w.random.IntN(2) == 0)
					w.act()
					time.Sleep(time.Duration(w.random.IntN(300)) * time.Millisecond)
				}
				w.bad.Store(false)
				w.backend.fail(nil)
				end := time.Now().Add(6 * time.Minute) // failed runs are repeated with a backoff of up to five, the more the longer a busy machine draws the faults out
				for w.differs() != "" && time.Now().Before(end) {
					time.Sleep(50 * time.Millisecond)
				}
				if text := w.differs(); text != "" {
					t.Fatalf("%s; after:\n%s", text, strings.Join(w.said, "\n"))
				}
				w.say("the Secret is right")
			}
		})
	}
}
