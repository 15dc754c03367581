package externalsecret

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// chain returns what n objects read of which each shares a document with the next.
func chain(n int) [][]uint32 {
	var out [][]uint32
	for i := range uint32(n) {
		out = append(out, []uint32{1000 + i, 1001 + i})
	}
	return out
}

func TestDocumentsThatAreReadTogetherHaveOnePoint(t *testing.T) {
	t.Parallel()
	ring := [][]uint32{{100, 109}}
	for i := range uint32(9) {
		ring = append(ring, []uint32{100 + i, 101 + i})
	}
	many := make([]uint32, maxTogether+1)
	for i := range many {
		many[i] = 2000 + uint32(i)
	}
	tests := map[string]struct {
		read, gone [][]uint32
		of         []uint32
		want       uint32
	}{
		"a document that nobody reads with another":   {read: ring, of: []uint32{7}, want: 7},
		"a document of the ring":                      {read: ring, of: []uint32{105}, want: 100},
		"two documents of the ring":                   {read: ring, of: []uint32{108, 109}, want: 100},
		"a document of the ring with a smaller":       {read: ring, of: []uint32{3, 105}, want: 3},
		"a ring that is open at one place":            {read: ring, gone: ring[5:6], of: []uint32{109}, want: 100},
		"a ring that is open at two places":           {read: ring, gone: [][]uint32{ring[3], ring[7]}, of: []uint32{104}, want: 103},
		"what two objects read together and one left": {read: [][]uint32{{1, 2}, {1, 2}}, gone: [][]uint32{{1, 2}}, of: []uint32{2}, want: 1},
		"what two objects read together and both left": {read: [][]uint32{{1, 2}, {1, 2}}, gone: [][]uint32{{1, 2}, {1, 2}},
			of: []uint32{2}, want: 2},
		"three documents of one object":                       {read: [][]uint32{{1, 2, 3}}, of: []uint32{3}, want: 1},
		"as many as may be read together":                     {read: chain(maxTogether - 1), of: []uint32{1010, 1011}, want: 1000},
		"one more than may be read together":                  {read: chain(maxTogether), of: []uint32{1010, 1011}, want: 1010},
		"more than may be read together, in one object":       {read: [][]uint32{many}, of: many, want: 2000},
		"more than may be read together, through many others": {read: chain(10000), of: []uint32{1500}, want: 1500},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p phases
			for _, documents := range tt.read {
				p.replace(nil, documents)
			}
			for _, documents := range tt.gone {
				p.replace(documents, nil)
			}
			if got := p.smallest(tt.of); got != tt.want {
				t.Errorf("%v are read with %d, want %d", tt.of, got, tt.want)
			}
		})
	}
}

func TestObjectsOfManyDocumentsAreSpreadOverTheInterval(t *testing.T) {
	t.Parallel()
	const objects, documents, parts = 5000, 5, 10
	random := rand.New(rand.NewPCG(1, 2))
	var p phases
	all := make([][]uint32, objects)
	for i := range all {
		for range documents {
			all[i] = append(all[i], random.Uint32())
		}
		slices.Sort(all[i])
		p.replace(nil, all[i])
	}
	var in [parts]int
	for _, read := range all {
		in[uint64(p.point(read))*parts>>32]++
	}
	for part, n := range in {
		if mean := objects / parts; n < mean*3/4 || n > mean*5/4 {
			t.Errorf("%d objects are due in part %d of the interval, want about %d", n, part, mean)
		}
	}
	if got := p.point(nil); got != 1<<32-1 {
		t.Errorf("what reads nothing is due at %d", got)
	}
}

func TestWhatReadsNothingTogetherIsNotRemembered(t *testing.T) {
	t.Parallel()
	var p phases
	objects := append(chain(100), []uint32{1, 2, 3, 4}, []uint32{5})
	for _, documents := range objects {
		p.replace(nil, documents)
	}
	for _, documents := range objects {
		p.replace(documents, []uint32{documents[0]})
	}
	if len(p.beside) != 0 {
		t.Errorf("%d documents are remembered though none is read with another", len(p.beside))
	}
}

// crowd is objects that read some of a few documents, as a process that may be restarted knows them.
type crowd struct {
	t        *testing.T
	random   *rand.Rand
	interval time.Duration
	now      time.Time
	phases   phases
	objects  map[types.UID]*member
	made     int
}

type member struct {
	documents []uint32
	last      time.Time
	aim       aim
}

func (c *crowd) some() []uint32 {
	var out []uint32
	for range 1 + c.random.IntN(3) {
		out = append(out, uint32(c.random.IntN(100))*40_000_000)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// come makes an object that is read now.
func (c *crowd) come() {
	c.made++
	m := &member{documents: c.some(), last: c.now}
	c.objects[types.UID(fmt.Sprintf("uid-%d", c.made))] = m
	c.phases.replace(nil, m.documents)
}

// one returns any object.
func (c *crowd) one() types.UID {
	var all []types.UID
	for uid := range c.objects {
		all = append(all, uid)
	}
	slices.Sort(all)
	return all[c.random.IntN(len(all))]
}

// judge looks at all objects and returns when each is due.
func (c *crowd) judge() map[types.UID]time.Time {
	c.t.Helper()
	due := map[types.UID]time.Time{}
	for uid, m := range c.objects {
		m.aim = m.aim.at(c.phases.point(m.documents), c.now)
		due[uid] = nextDue(uid, m.aim, m.last, c.interval)
		if !due[uid].After(m.last) || due[uid].After(m.last.Add(c.interval)) {
			c.t.Fatalf("%s is due %s after it was read, want within the interval", uid, due[uid].Sub(m.last))
		}
	}
	return due
}

// restart forgets everything but what the status says, and sees the objects in another order.
func (c *crowd) restart() {
	c.phases = phases{}
	order := make([]types.UID, 0, len(c.objects))
	for uid := range c.objects {
		order = append(order, uid)
	}
	slices.Sort(order)
	c.random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for _, uid := range order {
		c.phases.replace(nil, c.objects[uid].documents)
		c.objects[uid].aim = aim{}
	}
}

// change lets an object come, change or go; one that comes or changes is read now.
func (c *crowd) change() {
	switch c.random.IntN(3) {
	case 0:
		c.come()
	case 1:
		m := c.objects[c.one()]
		was := m.documents
		m.documents, m.last = c.some(), c.now
		c.phases.replace(was, m.documents)
	case 2:
		if len(c.objects) > 10 {
			uid := c.one()
			c.phases.replace(c.objects[uid].documents, nil)
			delete(c.objects, uid)
		}
	}
}

func TestNobodyIsDueEarlyOrLateWhateverComesAndGoes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		c := &crowd{t: t, random: rand.New(rand.NewPCG(seed, 0)), interval: time.Hour, now: start, objects: map[types.UID]*member{}}
		for range 30 {
			c.come()
		}
		for range 300 {
			before := c.judge()
			c.now = c.now.Add(time.Duration(c.random.Int64N(int64(10 * time.Minute))))
			running := c.random.IntN(4) > 0
			for uid, due := range before { // what is due is read, while somebody runs
				if running && !due.After(c.now) {
					c.objects[uid].last = c.now
				}
			}
			before = c.judge()
			restarted := !running || c.random.IntN(3) == 0
			if restarted {
				c.restart()
			} else {
				c.change()
			}
			for uid, due := range c.judge() {
				was, known := before[uid]
				if !known || c.objects[uid].last.Equal(c.now) {
					continue
				}
				if restarted && due.Before(was) {
					t.Fatalf("seed %d: after a restart %s is due %s earlier", seed, uid, was.Sub(due))
				}
				if was.After(c.now) && !due.After(c.now) {
					t.Fatalf("seed %d: %s is due at once because another object changed", seed, uid)
				}
			}
		}
	}
}

func TestTheOrderInWhichObjectsComeMakesNoDifference(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		c := &crowd{t: t, random: rand.New(rand.NewPCG(seed, 1)), objects: map[types.UID]*member{}}
		for range 60 {
			c.come()
		}
		for range 50 {
			c.change()
		}
		points := map[types.UID]uint32{}
		for uid, m := range c.objects {
			points[uid] = c.phases.point(m.documents)
		}
		c.restart()
		for uid, m := range c.objects {
			if got := c.phases.point(m.documents); got != points[uid] {
				t.Fatalf("seed %d: %s is read at %d, and at %d when the objects come in another order", seed, uid, points[uid], got)
			}
		}
	}
}

func TestWhatIsNeverReadAgainJoinsNoDocuments(t *testing.T) {
	t.Parallel()
	es := &esv1.ExternalSecret{Spec: esv1.ExternalSecretSpec{SecretStoreRef: esv1.StoreRef{Name: "s"}, Data: []esv1.Data{
		{RemoteRef: esv1.RemoteRef{Key: "a", Property: "x"}}, {RemoteRef: esv1.RemoteRef{Key: "a", Property: "y"}}, {RemoteRef: esv1.RemoteRef{Key: "b"}},
	}}}
	if got := periodic(es, documentsOf(es)); len(got) != 2 || got[0] >= got[1] {
		t.Errorf("documents %v, want two in order", got)
	}
	es.Spec.RefreshInterval = &metav1.Duration{}
	if got := periodic(es, documentsOf(es)); len(got) != 0 {
		t.Errorf("documents %v of an object that is read once, want none", got)
	}
}
