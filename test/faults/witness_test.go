package faults_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// foreign is a key that acts put into Secrets, and byHand the value of each key that they write.
const (
	foreign = "foreign"
	byHand  = "by hand"
)

// written are the keys and values that no act has put there. Keys that are none of the owner's are removed with a second write,
// before which they may be seen; what is the owner's is written with the first, and missed here when it was not.
func written(s *corev1.Secret) map[string]string {
	out := map[string]string{}
	for key, value := range s.Data {
		if string(value) != byHand {
			out[key] = string(value)
		}
	}
	return out
}

// version is one state of one Secret.
type version struct {
	uid             types.UID
	resourceVersion string
}

// suspicion is what is wrong with a state of a Secret unless the test itself wrote that state.
type suspicion struct {
	version
	text string
}

// witness sees every state of every Secret, also over the end of the API server, and judges it.
type witness struct {
	w *world

	mu sync.Mutex
	// known are the Secrets as they were seen last.
	known map[types.NamespacedName]*corev1.Secret
	// hand are the states that the test wrote itself, taken the Secrets that it deleted (or let be deleted), and dead the owners.
	hand  map[version]bool
	taken map[types.UID]bool
	dead  map[types.UID]bool
	// suspects are not judged yet; wrong is what is certain.
	suspects []suspicion
	wrong    []string
	// states is how many states were judged, and back how often a document went back to an older version of the same store: a
	// request of a leader that has just died may be served late, and is repaired.
	states, back int
	newest       map[string]int
	draws        draws
}

func newWitness(w *world) *witness {
	return &witness{
		w: w, known: map[types.NamespacedName]*corev1.Secret{}, hand: map[version]bool{}, taken: map[types.UID]bool{}, dead: map[types.UID]bool{},
		newest: map[string]int{}, draws: draws{held: map[types.NamespacedName]*drawn{}},
	}
}

// watch begins to watch, and ends with the test.
func (v *witness) watch() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(v.w.t.Context()))
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			v.follow(ctx)
			time.Sleep(20 * time.Millisecond)
		}
	})
	v.w.t.Cleanup(func() {
		cancel()
		watching.Wait()
	})
}

// follow looks at all Secrets and then at their changes, until the watch ends. While it ends and begins again the one API server
// there is does not serve, so that what is missed is what it did in its last moment; what it deleted is seen in the list.
func (v *witness) follow(ctx context.Context) {
	var list corev1.SecretList
	if err := v.w.client.List(ctx, &list); err != nil {
		return
	}
	v.mu.Lock()
	v.draws.missed() // what the watch did not show may have been an act
	v.mu.Unlock()
	present := map[types.NamespacedName]types.UID{}
	for i := range list.Items {
		s := &list.Items[i]
		present[client.ObjectKeyFromObject(s)] = s.UID
		v.see(s)
	}
	v.mu.Lock()
	for name, s := range v.known {
		if present[name] != s.UID {
			v.gone(s)
		}
	}
	v.mu.Unlock()
	events, err := v.w.client.Watch(ctx, &corev1.SecretList{}, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	if err != nil {
		return
	}
	defer events.Stop()
	for e := range events.ResultChan() {
		s, ok := e.Object.(*corev1.Secret)
		switch {
		case !ok:
			return // an error, after which one lists again
		case e.Type == watch.Deleted:
			v.mu.Lock()
			v.gone(s)
			v.mu.Unlock()
		default:
			v.see(s)
		}
	}
}

// see judges a state of a Secret.
func (v *witness) see(s *corev1.Secret) {
	v.mu.Lock()
	defer v.mu.Unlock()
	name := client.ObjectKeyFromObject(s)
	before := v.known[name]
	switch {
	case before != nil && before.UID != s.UID:
		v.gone(before)
		before = nil
	case before != nil && before.ResourceVersion == s.ResourceVersion:
		return
	}
	v.known[name] = s
	v.states++
	v.draws.see(s)
	for _, text := range v.judge(s, before) {
		v.suspects = append(v.suspects, suspicion{version: version{s.UID, s.ResourceVersion}, text: fmt.Sprintf("Secret %s: %s", name, text)})
	}
}

// judge says what no state of a Secret may show.
func (v *witness) judge(s, before *corev1.Secret) []string {
	i := slices.IndexFunc(v.w.tenants, func(t *tenant) bool { return t.name == s.Namespace })
	if i < 0 {
		if s.Namespace == system && before != nil {
			return []string{"it was changed, and is nobody's to change"}
		}
		return nil
	}
	t := v.w.tenants[i]
	claims := t.claims(s.Name)
	if len(claims) == 0 {
		return []string{"it was written, and is nobody's to write"}
	}
	var wrong []string
	data := written(s)
	was := map[string]string{}
	if before != nil {
		was = written(before)
	}
	if !complete(data, was, claims) {
		wrong = append(wrong, fmt.Sprintf("it has the keys %v", slices.Sorted(maps.Keys(data))))
	}
	if robbed(s, before, claims) {
		wrong = append(wrong, "the key that a hand put beside those of others is gone")
	}
	for _, g := range dropped(data, was, claims) {
		if before.UID == s.UID && !t.lacked(g.document, before.CreationTimestamp.Time) {
			wrong = append(wrong, fmt.Sprintf("the keys %v are gone, whose document the store never lacked", g.keys))
		}
	}
	versions := map[string]source{}
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if key == randomKey {
			continue // the draws are judged by their order
		}
		from, of, ok := parse(data[key])
		if !ok || of != key {
			wrong = append(wrong, "key "+key+" holds what nobody has written for it")
			continue
		}
		if !t.had(from) {
			wrong = append(wrong, fmt.Sprintf("key %s holds version %d of %s of %s of %s, which was never there", key, from.version, from.document, from.backend, from.tenant))
		}
		if other, twice := versions[from.document]; twice && other != from {
			wrong = append(wrong, fmt.Sprintf("document %s is mixed: version %d of %s and %d of %s", from.document, other.version, other.backend, from.version, from.backend))
		}
		versions[from.document] = from
	}
	v.regress(s, versions)
	return wrong
}

// regress counts the documents that a Secret shows in an older version than before.
func (v *witness) regress(s *corev1.Secret, versions map[string]source) {
	for document, from := range versions {
		id := fmt.Sprint(s.UID, from.backend, document)
		if from.version < v.newest[id] {
			v.back++
		}
		v.newest[id] = max(v.newest[id], from.version)
	}
}

// gone judges the end of a Secret; the caller holds the lock.
func (v *witness) gone(s *corev1.Secret) {
	name := client.ObjectKeyFromObject(s)
	if known := v.known[name]; known != nil && known.UID == s.UID {
		delete(v.known, name)
	}
	if v.taken[s.UID] {
		return
	}
	owner := metav1.GetControllerOf(s)
	if owner != nil && v.dead[owner.UID] {
		return
	}
	if owner != nil && (v.deletes(s) || v.broke(s)) {
		return
	}
	whose := "nobody"
	if owner != nil {
		whose = owner.Kind + " " + owner.Name + ", which lives"
	}
	v.wrong = append(v.wrong, fmt.Sprintf("Secret %s was deleted; it belonged to %s", name, whose))
}

// ours notes a state that the test wrote.
func (v *witness) ours(s *corev1.Secret) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.hand[version{s.UID, s.ResourceVersion}] = true
}

func (v *witness) isOurs(s *corev1.Secret) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.hand[version{s.UID, s.ResourceVersion}]
}

// take notes, before it is done, that the test deletes a Secret; kill that it deletes an owner.
func (v *witness) take(uid types.UID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.taken[uid] = true
}

func (v *witness) kill(uid types.UID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.dead[uid] = true
}

func (v *witness) isDead(uid types.UID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.dead[uid]
}

// verdict says what is wrong so far. It is asked between acts, when all that the test wrote is noted.
func (v *witness) verdict() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.suspects {
		if !v.hand[s.version] {
			v.wrong = append(v.wrong, s.text)
		}
	}
	v.suspects = nil
	v.wrong = append(v.wrong, v.draws.verdict(v.hand)...)
	return slices.Clone(v.wrong)
}
