package sealedsecret_test

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
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

// walk does things at random to one SealedSecret and its Secret, and knows what the Secret must become.
type walk struct {
	*world
	random *rand.Rand
	scope  seal.Scope
	values map[string]string
	// said is what was done so far.
	said []string
}

func (w *walk) say(format string, args ...any) { w.said = append(w.said, fmt.Sprintf(format, args...)) }

// object is the SealedSecret that the values are sealed into.
func (w *walk) spec(s *v1alpha1.SealedSecret) {
	s.Annotations = map[string]string{}
	switch w.scope {
	case seal.NamespaceWide:
		s.Annotations[v1alpha1.AnnotationNamespaceWide] = "true"
	case seal.ClusterWide:
		s.Annotations[v1alpha1.AnnotationClusterWide] = "true"
	}
	s.Spec.EncryptedData = map[string]string{}
	for key, value := range w.values {
		s.Spec.EncryptedData[key] = w.sealed(w.scope, "app", value)
	}
	template := "{{ .a }}-" + w.values["a"]
	s.Spec.Template.Data = map[string]*string{"made": &template}
	s.Spec.Template.Metadata.Labels = map[string]string{"team": w.values["a"]}
}

// want is what the Secret holds then.
func (w *walk) want() map[string]string {
	out := maps.Clone(w.values)
	out["made"] = w.values["a"] + "-" + w.values["a"]
	return out
}

// seal makes new values at random; a is always one of them.
func (w *walk) seal() {
	w.values = map[string]string{"a": fmt.Sprint("a", w.random.IntN(3))}
	for _, key := range []string{"b", "c"} {
		if w.random.IntN(2) > 0 {
			w.values[key] = fmt.Sprint(key, w.random.IntN(3))
		}
	}
	w.scope = []seal.Scope{seal.Strict, seal.NamespaceWide, seal.ClusterWide}[w.random.IntN(3)]
	w.say("seal %v for %s", w.values, w.scope)
}

// act does one thing.
func (w *walk) act() {
	w.t.Helper()
	name := types.NamespacedName{Namespace: w.ns, Name: "app"}
	obj := &v1alpha1.SealedSecret{}
	obj.Namespace, obj.Name = w.ns, "app"
	switch w.random.IntN(8) {
	case 0, 1, 2:
		w.seal()
		update(w.world, obj, w.spec)
	case 3:
		w.say("another object of the name")
		if err := w.client.Delete(w.t.Context(), obj); err != nil {
			w.t.Fatal(err)
		}
		w.eventually("the object is gone", func() bool { return w.client.Get(w.t.Context(), name, obj) != nil })
		w.seal()
		obj = &v1alpha1.SealedSecret{}
		obj.Namespace, obj.Name = w.ns, "app"
		w.spec(obj)
		w.create(obj)
	case 4:
		w.say("delete the Secret")
		w.byHand(func(s *corev1.Secret) error { return w.client.Delete(w.t.Context(), s) })
	case 5:
		w.say("edit the Secret")
		w.byHand(func(s *corev1.Secret) error {
			return w.client.Patch(w.t.Context(), s, client.RawPatch(types.MergePatchType, []byte(`{"data":{"a":"ZWRpdGVk"},"metadata":{"labels":{"team":"edited"}}}`)))
		})
	case 6:
		w.say("take our label off")
		w.byHand(func(s *corev1.Secret) error {
			return w.client.Patch(w.t.Context(), s, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"`+v1alpha1.LabelSealedBy+`":null}},"data":{"b":null}}`)))
		})
	default:
		w.say("restart")
		w.stop()
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

// differs says how the Secret is not what it must be; "" when it is.
func (w *walk) differs() string {
	secret := w.secret("app")
	if secret == nil {
		return "there is no Secret"
	}
	if got, want := w.data("app"), w.want(); !maps.Equal(got, want) {
		return fmt.Sprintf("it holds %v, want %v", got, want)
	}
	if got := secret.Labels["team"]; got != w.values["a"] {
		return fmt.Sprintf("its label is %q, want %q", got, w.values["a"])
	}
	return ""
}

// TestWhateverHappensTheSecretComesToWhatIsSealed lets people seal, delete and edit in an order made at random, while requests
// to the API server are lost before or after they were carried out, and the controller is restarted.
func TestWhateverHappensTheSecretComesToWhatIsSealed(t *testing.T) {
	t.Parallel()
	for range 3 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := &walk{world: newWorld(t), random: rand.New(rand.NewPCG(seed, 1))}
			var bad atomic.Bool
			var n atomic.Uint64
			w.fault = func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
				if !bad.Load() || req.URL.Query().Get("watch") != "" {
					return nil, nil
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
					return nil, nil
				}
			}
			w.start()
			w.seal()
			first := &v1alpha1.SealedSecret{}
			first.Namespace, first.Name = w.ns, "app"
			w.spec(first)
			w.create(first)
			for range 3 {
				for range 6 {
					bad.Store(w.random.IntN(2) == 0)
					w.act()
					time.Sleep(time.Duration(w.random.IntN(200)) * time.Millisecond)
				}
				bad.Store(false)
				end := time.Now().Add(6 * time.Minute) // failed runs are repeated with a backoff of up to five, the more the longer a busy machine draws the faults out
				for w.differs() != "" && time.Now().Before(end) {
					time.Sleep(50 * time.Millisecond)
				}
				if text := w.differs(); text != "" {
					t.Fatalf("%s; after:\n%s\n%s", text, strings.Join(w.said, "\n"), w.describe())
				}
				w.synced("app")
				w.say("the Secret is right")
			}
		})
	}
}
