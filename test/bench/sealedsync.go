package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
)

// operationsMetric is the controller's count of private-key operations.
const operationsMetric = "sealbridge_sealedsecret_private_key_operations_total"

// warmUp is how many objects may cost more because nothing is known of the keys yet.
const warmUp = 50

// sealedRun is what a first sync of SealedSecrets took.
type sealedRun struct {
	span
	// synced is how many were in time, after elapsed.
	synced  int
	elapsed time.Duration
	// planeUntil is the CPU time of the control plane until then.
	planeUntil time.Duration
	// operations is the number of private-key operations, earlier that when the first objects were synced.
	operations, earlier float64
	// cost is the CPU time of one, by itself.
	cost time.Duration
}

// syncSealed starts the controller and waits until all objects are synced, or the time that was given is over. Operations
// are measured before and after, while nothing else of the bench runs.
func (w *world) syncSealed(ctx context.Context) (sealedRun, error) {
	var run sealedRun
	costBefore, err := w.operationCost(ctx)
	if err != nil {
		return run, err
	}
	before, err := w.mark()
	if err != nil {
		return run, err
	}
	fmt.Fprintln(w.log, "  starting the controller")
	before.at = time.Now()
	if err := w.start(ctx); err != nil {
		return run, err
	}
	run.synced, err = w.synced(ctx, w.objects, func() { run.earlier, _ = w.operations(ctx) })
	run.elapsed = time.Since(before.at)
	if err != nil {
		return run, err
	}
	plane, err := w.planeCPU()
	if err != nil {
		return run, err
	}
	run.planeUntil = plane - before.plane
	if run.synced == w.objects {
		if err := w.settle(ctx); err != nil {
			return run, err
		}
	}
	if run.span, err = w.since(before); err != nil {
		return run, err
	}
	if run.operations, err = w.operations(ctx); err != nil {
		return run, err
	}
	costAfter, err := w.operationCost(ctx)
	run.cost = (costBefore + costAfter) / 2
	return run, err
}

// synced waits until n SealedSecrets are synced, and calls warm when the first are. It returns how many are when the time
// is over.
func (w *world) synced(ctx context.Context, n int, warm func(), opts ...client.ListOption) (int, error) {
	limited, cancel := context.WithTimeout(ctx, w.settings.sealed.timeout)
	defer cancel()
	synced := map[string]bool{}
	err := w.each(limited, &v1alpha1.SealedSecretList{}, func(obj client.Object) bool {
		ss, ok := obj.(*v1alpha1.SealedSecret)
		if !ok || !isSynced(ss) || synced[ss.Namespace+"/"+ss.Name] {
			return false
		}
		synced[ss.Namespace+"/"+ss.Name] = true
		if len(synced) == min(warmUp, n) {
			warm()
		}
		return len(synced) == n
	}, opts...)
	if err != nil && (ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded)) {
		return len(synced), fmt.Errorf("%d of %d are synced: %w", len(synced), n, err)
	}
	return len(synced), nil
}

func isSynced(ss *v1alpha1.SealedSecret) bool {
	conditions := ss.Status.Conditions
	return len(conditions) > 0 && conditions[0].Type == v1alpha1.ConditionSynced && conditions[0].Status == metav1.ConditionTrue
}

// operations returns how many private-key operations the controller has done, 0 when it does not count them.
func (w *world) operations(ctx context.Context) (float64, error) {
	if w.subject.other {
		return 0, nil
	}
	families, err := w.metrics(ctx)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, metric := range families[operationsMetric].GetMetric() {
		sum += metric.GetCounter().GetValue()
	}
	return sum, nil
}

// operationCost does private-key operations for about a second of CPU time and returns what one took. CPU time and not
// wall time, because others may have the processor meanwhile.
func (w *world) operationCost(ctx context.Context) (time.Duration, error) {
	const enough, batch = time.Second, 16
	before, err := readUsage(os.Getpid())
	if err != nil {
		return 0, err
	}
	for done := time.Duration(batch); ; done += batch {
		for range batch {
			if err := w.sealed.operation(ctx); err != nil {
				return 0, fmt.Errorf("measure a private-key operation: %w", err)
			}
		}
		now, err := readUsage(os.Getpid())
		if err != nil {
			return 0, err
		}
		if spent := now.cpu - before.cpu; spent >= enough {
			return spent / done, nil
		}
	}
}

// wrap returns a session key that is wrapped for an RSA key.
func wrap(key *rsa.PublicKey) (keyring.Lock, error) {
	lock := keyring.Lock{Type: keyring.TypeRSA, Label: []byte("bench")}
	var err error
	if lock.Body, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, key, make([]byte, 32), lock.Label); err != nil {
		return lock, fmt.Errorf("wrap a session key: %w", err)
	}
	return lock, nil
}

// untilSynced is the figure of a first sync by which it is compared.
const untilSynced = "until all are synced, or the time was over"

// report adds what every first sync has.
func (run sealedRun) report(r *Report, w *world) {
	n := float64(run.synced)
	written, events := writes(run.calls)
	r.Add("SealedSecrets", float64(w.objects), "objects")
	r.Bound("of them not synced in time", float64(w.objects-run.synced), 0, "objects")
	r.Add(untilSynced, run.elapsed.Seconds(), "s")
	r.Bound("writes per object", float64(written)/max(n, 1), 2, "requests")
	r.Bound("events per object", float64(events)/max(n, 1), 1, "requests")
	r.Add("controller CPU", run.cpu.Seconds(), "s")
	r.Add("control plane CPU per object until all are synced", run.planeUntil.Seconds()/max(n, 1)*1000, "ms")
	r.Add("control plane CPU per object in all", run.plane.Seconds()/max(n, 1)*1000, "ms")
	r.Add("CPU of one operation alone, measured before and after", float64(run.cost.Microseconds())/1000, "ms")
	if !w.subject.other {
		r.Add("private-key operations", run.operations, "operations")
		r.Add("CPU of that many operations alone", run.operations*run.cost.Seconds(), "s")
	}
}

// memory adds the peak of the resident set; it has a bound where most is not 0.
func (run sealedRun) memory(r *Report, most float64) {
	const name = "controller peak memory"
	if most > 0 {
		r.Bound(name, float64(run.peak)/mib, most, "MiB")
		return
	}
	r.Add(name, float64(run.peak)/mib, "MiB")
}

// share returns the controller's CPU time as a multiple of what its operations cost alone.
func (run sealedRun) share() float64 {
	return run.cpu.Seconds() / max(run.operations*run.cost.Seconds(), 1e-9)
}

func sealedFirstSync(ctx context.Context, w *world) (*Report, error) {
	return w.compat(ctx, 1, func(r *Report, run sealedRun) {
		r.Bound("operations per value", run.operations/float64(sealedValues*max(run.synced, 1)), 1, "operations")
		r.Bound("controller CPU as a multiple of that", run.share(), 1.25, "")
	})
}

func sealedManyKeys(ctx context.Context, w *world) (*Report, error) {
	return w.compat(ctx, cmp.Or(w.settings.sealed.keys, 12), func(r *Report, run sealedRun) {
		later := float64(sealedValues * max(run.synced-warmUp, 1))
		r.Add("operations per value", run.operations/float64(sealedValues*max(run.synced, 1)), "operations")
		// Objects that were at work when the 50th was done count as earlier ones: at most --concurrent of them.
		r.Bound("operations per value after the first 50 objects", (run.operations-run.earlier)/later, 1.1, "operations")
		r.Add("controller CPU as a multiple of that", run.share(), "")
	})
}

// compat syncs objects that are sealed with the oldest of some RSA keys.
func (w *world) compat(ctx context.Context, keys int, more func(*Report, sealedRun)) (*Report, error) {
	s, err := w.compatKeys(ctx, keys)
	if err != nil {
		return nil, err
	}
	if err := w.fillSealed(ctx, s, sealedObjects); err != nil {
		return nil, err
	}
	run, err := w.syncSealed(ctx)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	r.Add("sealing keys", float64(keys), "keys")
	run.report(r, w)
	if !w.subject.other {
		more(r, run)
	}
	run.memory(r, 0)
	r.addCalls(run.calls)
	return r, nil
}

func sealedNative(ctx context.Context, w *world) (*Report, error) {
	keys := cmp.Or(w.settings.sealed.keys, 24)
	s, err := w.nativeKeys(ctx, keys)
	if err != nil {
		return nil, err
	}
	if err := w.fillSealed(ctx, s, 5000); err != nil {
		return nil, err
	}
	run, err := w.syncSealed(ctx)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	r.Add("sealing keys", float64(keys), "keys")
	run.report(r, w)
	r.Bound("operations per value", run.operations/float64(sealedValues*max(run.synced, 1)), 1, "operations")
	// In the run of all scenarios the same number of ExternalSecrets has been synced before.
	for _, earlier := range w.earlier {
		if earlier.Scenario == "first-sync-5000" && earlier.Subject == sealbridge {
			most, _ := earlier.figure(untilReady)
			r.Bound("the same, beside that many ExternalSecrets", run.elapsed.Seconds(), most, "s")
		}
	}
	r.Bound("share of the controller's CPU that opening takes", 1/max(run.share(), 1e-9), 0.1, "")
	run.memory(r, 0)
	r.addCalls(run.calls)
	return r, nil
}

// sealedRestart measures two starts with everything in sync: one with nothing to do, and one with one new object, which is
// synced when the controller is ready.
func sealedRestart(ctx context.Context, w *world) (*Report, error) {
	const window = 12 * time.Second
	w.stopController()
	before, err := w.mark()
	if err != nil {
		return nil, err
	}
	before.use = usage{}
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	if err := w.pause(ctx, window); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, w.settings.sealed.timeout)
	defer cancel()
	if err := w.settle(limited); err != nil && (ctx.Err() != nil || limited.Err() == nil) {
		return nil, err
	}
	got, err := w.since(before)
	if err != nil {
		return nil, err
	}
	operations, err := w.operations(ctx)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	written, events := writes(got.calls)
	r.Add("SealedSecrets in sync", float64(w.objects), "objects")
	r.Add("watched for", got.wall.Seconds(), "s")
	if !w.subject.other {
		r.Bound("private-key operations", operations, 0, "operations")
	}
	r.Bound("writes, events among them", float64(written+events), 0, "requests")
	r.Bound("objects read one by one (sealing keys aside)", float64(objectGets(got.calls)), 0, "requests")
	r.Add("controller CPU", got.cpu.Seconds(), "s")
	r.Add("controller peak memory", float64(got.peak)/mib, "MiB")
	r.addCalls(got.calls)
	w.stopController()
	return r, w.syncLate(ctx, r)
}

// objectGets returns how many Secrets and SealedSecrets of users were read one by one.
func objectGets(calls []call) int {
	n := 0
	for _, c := range calls {
		if c.Verb == "get" && c.Ref.Namespace != keyNamespace {
			n++
		}
	}
	return n
}

// syncLate starts the controller and makes an object right after.
func (w *world) syncLate(ctx context.Context, r *Report) error {
	late, err := w.sealed.object("late", 0)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := w.start(ctx); err != nil {
		return err
	}
	if err := w.client.Create(ctx, late); err != nil {
		return fmt.Errorf("create %s: %w", late.Name, err)
	}
	synced, err := w.synced(ctx, 1, func() {}, client.MatchingFields{"metadata.name": late.Name})
	if err != nil {
		return err
	}
	r.Bound("new objects not synced in time", float64(1-synced), 0, "objects")
	r.Bound("until it has synced a new object", time.Since(start).Seconds(), 3, "s")
	return nil
}

// sealedMemory fills the cluster with Secrets that are nobody's.
func sealedMemory(ctx context.Context, w *world) (*Report, error) {
	const size = 10 << 10
	foreign := cmp.Or(w.settings.sealed.foreign, 30000)
	fmt.Fprintf(w.log, "  creating %d Secrets of %d bytes\n", foreign, size)
	if err := w.makeNamespaces(ctx); err != nil {
		return nil, err
	}
	content := make([]byte, size)
	if _, err := rand.Read(content); err != nil {
		return nil, fmt.Errorf("make content: %w", err)
	}
	err := w.createAll(ctx, foreign, func(i int) client.Object {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace(i % sealedNamespaces), Name: fmt.Sprintf("foreign-%05d", i)},
			Data: map[string][]byte{"blob": content}}
	})
	if err != nil {
		return nil, err
	}
	s, err := w.compatKeys(ctx, 1)
	if err != nil {
		return nil, err
	}
	if err := w.fillSealed(ctx, s, 10000); err != nil {
		return nil, err
	}
	run, err := w.syncSealed(ctx)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	r.Add("Secrets that are nobody's", float64(foreign), "objects")
	run.report(r, w)
	run.memory(r, 100)
	r.Add("bytes read by the controller", float64(run.read)/mib, "MiB")
	r.addCalls(run.calls)
	return r, nil
}
