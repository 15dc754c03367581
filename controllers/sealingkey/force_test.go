package sealingkey_test

import (
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/controllers/sealingkey"
	"github.com/sealbridge/sealbridge/test/harness/capture"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func TestAKeyThatIsAskedForIsMadeByTheLeaderAlone(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns, c := cp.Namespace(t), newClient(t, cp.Config())
	var keepers []*sealingkey.Keeper
	var asks []chan os.Signal
	for range 2 {
		ask := make(chan os.Signal, 1)
		k, _ := replica(t, cp.Config(), ns, true, func(d *sealingkey.Deps) { d.Force = ask })
		keepers, asks = append(keepers, k), append(asks, ask)
	}
	for keys := 1; keys <= 3; keys++ {
		for _, k := range keepers {
			eventually(t, "every replica has the keys", func() bool { return size(k) == keys })
		}
		if newestOf(keepers[0]) != newestOf(keepers[1]) {
			t.Error("replicas seal to different keys")
		}
		if keys < 3 { // one of the two leads
			for _, ask := range asks {
				ask <- syscall.SIGUSR1
			}
		}
	}
	touch(t, c, ns)
	time.Sleep(300 * time.Millisecond) // nothing more was asked for
	if n := len(keySecrets(t, c, ns)); n != 3 {
		t.Errorf("%d keys", n)
	}
}

func TestAKeyThatIsAskedForWhileAnotherIsMadeIsMadeAfterIt(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns, cfg := cp.Namespace(t), cp.Config()
	ask := make(chan os.Signal)
	var again atomic.Bool
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return capture.RoundTripper(func(req *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(req)
			if req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/secrets") && again.Swap(false) {
				ask <- syscall.SIGUSR1
			}
			return resp, err
		})
	})
	keeper, _ := replica(t, cfg, ns, false, func(d *sealingkey.Deps) { d.Force = ask })
	eventually(t, "there is a key", func() bool { return size(keeper) == 1 })
	again.Store(true)
	ask <- syscall.SIGUSR1
	eventually(t, "each that was asked for is there", func() bool { return size(keeper) == 3 })
}
