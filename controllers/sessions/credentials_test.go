package sessions

import (
	"context"
	"net/http"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/providers"
)

// atRest is a Watcher that is not started, and asks nobody: who follows what is known all the same.
func atRest(t *testing.T) *watches.Watcher {
	t.Helper()
	w, err := watches.New(&rest.Config{Host: "http://127.0.0.1:1"}, http.DefaultClient, 0)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestNoCredentialIsWatchedForAStoreThatGoesWhileItIsRead(t *testing.T) {
	t.Parallel()
	for name, goes := range map[string]bool{"it goes": true, "it stays": false} {
		b := &backend{credential: providers.ObjectRef{Name: "cred", Key: "token"}}
		s := storeOf(b, "team", "s", 1)
		var p *Pool
		c := interceptor.NewClient(cluster(credentialSecret("team", "cred", "v")), interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
				if goes {
					p.Forget(s.UID)
				}
				return c.Get(ctx, key, into, opts...)
			},
		})
		p = New(Deps{Reader: c, Tokens: c, Watches: atRest(t)})
		mustFetch(t, p, request(s, "team", "a"))
		watched := watches.Object{Kind: watches.Secret, Namespace: "team", Name: "cred"}
		if is := p.followers.Has(key{identity: s.identity()}, watched); is == goes {
			t.Errorf("%s: its credential is watched: %t", name, is)
		}
		p.close()
	}
}
