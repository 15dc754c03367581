package externalsecret_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
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

func TestARestartAsksNobodyBeforeTheIntervalIsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store("store")
	const keys = 10
	w.ring(keys, every(time.Hour))
	restart := func(after time.Duration) (reads int) {
		w.stop()
		w.ahead.Store(int64(after))
		before := w.backend.asked()
		w.logs.Write([]byte("--- restart ---\n"))
		w.start()
		// One object that is new shows that the controller works.
		name := fmt.Sprintf("new-%d", int(after.Minutes()))
		w.create(w.externalSecret(name, func(es *esv1.ExternalSecret) { es.Spec.Data[0].RemoteRef = esv1.RemoteRef{Key: "alone"} }))
		w.ready(name)
		time.Sleep(time.Second)
		for key, n := range w.backend.asked() {
			if key != "alone" {
				reads += n - before[key]
			}
		}
		return reads
	}
	w.backend.put("alone", canary)
	var early []string
	for _, minutes := range []time.Duration{10, 30, 58} {
		if reads := restart(minutes * time.Minute); reads > 0 {
			early = append(early, fmt.Sprintf("%d minutes after all were read: %d keys", minutes, reads))
		}
	}
	if len(early) > 1 { // the objects fall due within half a minute of the hour, which one of the looks may meet
		t.Errorf("restarts read what is read once an hour: %v", early)
	}
	if reads := restart(61 * time.Minute); reads < keys {
		t.Errorf("a restart when all are due reads %d keys, want %d", reads, keys)
	}
}
