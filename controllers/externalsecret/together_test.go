package externalsecret_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/externalsecret"
)

// ring creates n ExternalSecrets of which each reads two keys, the second of which is the first of the next.
func (w *world) ring(n int, change ...func(*esv1.ExternalSecret)) {
	w.t.Helper()
	for i := range n {
		w.backend.put(fmt.Sprintf("key-%d", i), `{"password":"`+canary+`"}`)
	}
	for i := range n {
		pair := func(es *esv1.ExternalSecret) {
			es.Spec.Data = []esv1.Data{
				{SecretKey: "one", RemoteRef: esv1.RemoteRef{Key: fmt.Sprintf("key-%d", i)}},
				{SecretKey: "two", RemoteRef: esv1.RemoteRef{Key: fmt.Sprintf("key-%d", (i+1)%n)}},
			}
		}
		w.create(w.externalSecret(fmt.Sprintf("es-%d", i), append(slices.Clone(change), pair)...))
	}
	for i := range n {
		w.ready(fmt.Sprintf("es-%d", i))
	}
}

func TestObjectsThatReadKeysInCommonAskForEachOnceAnInterval(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store("store")
	const keys, intervals, interval = 12, 2, 8 * time.Second
	w.ring(keys, every(interval))
	time.Sleep(interval + interval/4) // each was read once at its point
	// On a machine that is busy otherwise two objects of a key may come seconds apart: one look of some shows what is always so.
	for look := 1; ; look++ {
		before := w.backend.asked()
		time.Sleep(intervals * interval)
		var wrong []string
		for key, n := range w.backend.asked() {
			if n -= before[key]; n < intervals-1 || n > intervals+1 {
				wrong = append(wrong, fmt.Sprintf("%s was read %d times in %d intervals", key, n, intervals))
			}
		}
		if len(wrong) == 0 {
			return
		}
		if look == 4 {
			t.Fatal(wrong)
		}
	}
}

// pointAfter returns how long after a time from now, or before it, the point of the hour is at which the objects are due that are there.
func (w *world) pointAfter(d time.Duration) time.Duration {
	w.t.Helper()
	var list esv1.ExternalSecretList
	if err := w.c.List(w.t.Context(), &list, client.InNamespace(w.ns)); err != nil {
		w.t.Fatal(err)
	}
	var objects []*esv1.ExternalSecret
	for i := range list.Items {
		objects = append(objects, &list.Items[i]) // by name, so that those of the ring come first
	}
	passed := time.Duration(time.Now().Add(d).UnixNano()) % time.Hour
	return (externalsecret.PointOf(time.Hour, objects...)-passed+time.Hour+time.Hour/2)%time.Hour - time.Hour/2
}

func TestARestartAsksNobodyBeforeTheIntervalIsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store("store")
	const keys, margin = 10, 2 * time.Minute // of the jitter, and of what the test takes
	w.ring(keys, every(time.Hour))
	var before map[string]int
	readsSince := func() (reads int) {
		for key, n := range w.backend.asked() {
			if key != "alone" {
				reads += n - before[key]
			}
		}
		return reads
	}
	restart := func(after time.Duration) {
		w.t.Helper()
		w.stop()
		w.ahead.Store(int64(after))
		before = w.backend.asked()
		w.logs.Write([]byte("--- restart ---\n"))
		w.start()
		// One object that is new shows that the controller works.
		name := fmt.Sprintf("new-%d", int(after.Minutes()))
		w.create(w.externalSecret(name, func(es *esv1.ExternalSecret) { es.Spec.Data[0].RemoteRef = esv1.RemoteRef{Key: "alone"} }))
		w.ready(name)
	}
	w.backend.put("alone", canary)
	for _, after := range []time.Duration{10 * time.Minute, 30 * time.Minute, 58 * time.Minute} {
		if at := w.pointAfter(after); at > -margin && at < margin { // it is due then, and may be read
			after -= 2 * margin
		}
		restart(after)
		time.Sleep(time.Second)
		if reads := readsSince(); reads > 0 {
			t.Errorf("a restart %s after all were read reads %d keys, of objects that are read once an hour", after, reads)
		}
	}
	restart(61 * time.Minute)
	w.eventually("a restart when all are due reads all keys", func() error {
		if reads := readsSince(); reads < keys {
			return fmt.Errorf("%d of %d", reads, keys)
		}
		return nil
	})
}

// dueIn creates ExternalSecrets that are read once an hour until one is due after a time, or ten seconds later at the most, and returns
// its key and when it is due.
func (w *world) dueIn(d time.Duration) (key string, due time.Time) {
	w.t.Helper()
	for i := 0; ; i++ {
		key = fmt.Sprintf("due-%d-%d", time.Now().UnixNano(), i)
		es := w.externalSecret(key, every(time.Hour), func(es *esv1.ExternalSecret) { es.Spec.Data[0].RemoteRef = esv1.RemoteRef{Key: key} })
		now := time.Now()
		ahead := (externalsecret.PointOf(time.Hour, es) - time.Duration(now.UnixNano())%time.Hour + time.Hour) % time.Hour
		if ahead > d || ahead < d-20*time.Second { // of the jitter, which follows from the UID
			continue
		}
		w.backend.put(key, canary)
		w.create(es)
		due = now.Add(ahead + externalsecret.JitterOf(es, time.Hour))
		if left := time.Until(due); left > d && left < d+10*time.Second {
			w.ready(key)
			return key, due
		}
	}
}

// TestARestartKnowsWhatIsDueSoon: a request that has room for more documents is filled with those that were read before the process
// began, though it has not read them yet, and before anybody is asked.
func TestARestartKnowsWhatIsDueSoon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.mu.Lock()
	w.backend.batch = 20
	w.backend.mu.Unlock()
	w.store("store")
	for range 3 { // on a machine that is busy otherwise it may be due before the controller is up again
		key, due := w.dueIn(40 * time.Second)
		w.stop()
		opens := w.backend.opened()
		w.start()
		for i := 0; time.Now().Before(due); i++ {
			name := fmt.Sprintf("%s-new-%d", key, i)
			w.backend.put(name, canary)
			w.create(w.externalSecret(name, func(es *esv1.ExternalSecret) { es.Spec.Data[0].RemoteRef = esv1.RemoteRef{Key: name} }))
			w.ready(name)
			if w.backend.called(name, key) {
				if n := w.backend.opened() - opens; n != 1 {
					t.Errorf("%d sessions were opened", n)
				}
				return
			}
		}
	}
	t.Error("no request was filled with what was due within a minute")
}
