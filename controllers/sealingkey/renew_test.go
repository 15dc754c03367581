package sealingkey

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/crypto/keyring"
)

func TestWhenAKeyWasMadeIsForgottenWithTheNamespacesThatHadIt(t *testing.T) {
	t.Parallel()
	k := compatKind()
	now := time.Now()
	k.made = map[string]time.Time{"": now, "team-a": now, "gone": now}
	c := &Controller{kinds: []*kind{k}}
	empty := &lineage{ring: (&keyring.Ring{}).With()}
	if _, err := c.renew(t.Context(), keys{lineages: map[string]*lineage{"": empty, "team-a": empty}}); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(k.made)); !slices.Equal(got, []string{"", "team-a"}) {
		t.Errorf("it knows of %q", got)
	}
}

func TestAKeyIsFollowedWhenItIsOldOrFromBeforeTheCutoff(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		renewal Renewal
		from    time.Time
		want    time.Time
		never   bool
	}{
		"without a period and a cutoff never": {never: true, from: now},
		"when the period is over":             {renewal: Renewal{Period: 30 * day}, from: now.Add(-10 * day), want: now.Add(20 * day)},
		"long ago, when it is older":          {renewal: Renewal{Period: 30 * day}, from: now.Add(-40 * day), want: now.Add(-10 * day)},
		"at once after a cutoff":              {renewal: Renewal{Cutoff: now.Add(-day)}, from: now.Add(-2 * day), want: now.Add(-day)},
		"at a cutoff that is to come":         {renewal: Renewal{Cutoff: now.Add(day)}, from: now, want: now.Add(day)},
		"not for a cutoff that it is after":   {renewal: Renewal{Cutoff: now.Add(-day)}, from: now, never: true},
		"nor for one that it is made at":      {renewal: Renewal{Cutoff: now}, from: now, never: true},
		"at the earlier of both, the cutoff":  {renewal: Renewal{Period: 30 * day, Cutoff: now.Add(day)}, from: now, want: now.Add(day)},
		"at the earlier of both, the period":  {renewal: Renewal{Period: day, Cutoff: now.Add(2 * day)}, from: now, want: now.Add(day)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := test.renewal.next(test.from)
			if ok == test.never || !got.Equal(test.want) {
				t.Errorf("got %s, %t", got, ok)
			}
		})
	}
}

func TestTheAgeOfAKeySurvivesClocksThatWereWrong(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(days int) time.Time { return now.AddDate(0, 0, days) }
	for name, test := range map[string]struct {
		order                          Order
		notBefore, created, made, want time.Time
	}{
		"the certificate counts":                          {order: OrderCertNotBefore, notBefore: at(-3), created: at(-1), want: at(-3)},
		"no order is that of certificates":                {notBefore: at(-3), created: at(-1), want: at(-3)},
		"the Secret counts":                               {order: OrderSecretCreationTimestamp, notBefore: at(-3), created: at(-1), want: at(-1)},
		"a certificate from the future has its Secret":    {order: OrderCertNotBefore, notBefore: at(300), created: at(-1), want: at(-1)},
		"and when this process made it later":             {order: OrderCertNotBefore, notBefore: at(300), created: at(-50), made: at(-1), want: at(-1)},
		"both are from the future":                        {order: OrderCertNotBefore, notBefore: at(300), created: at(2), want: now},
		"a Secret from the future":                        {order: OrderSecretCreationTimestamp, notBefore: at(-1), created: at(2), want: now},
		"a Secret of an API server whose clock is behind": {order: OrderSecretCreationTimestamp, notBefore: at(0), created: at(-40), want: now},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := since(test.order, test.notBefore, test.created, test.made, now); !got.Equal(test.want) {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestAnOrderIsOneOfTwo(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{"CertNotBefore": true, "SecretCreationTimestamp": true, "": false, "certnotbefore": false} {
		if got, err := ParseOrder(name); (err == nil) != ok || ok && string(got) != name {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
}
