package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
)

// overlong returns the address of a server whose answers go on after the length that they say.
func overlong(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	serve := func(c net.Conn) {
		defer func() { _ = c.Close() }()
		for in := bufio.NewReader(c); ; {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"k\":\"value\"} %q", canary)
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return "http://" + l.Addr().String()
}

func TestWhatABackendSendsBeyondItsAnswerIsNotLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("--controllers=*", "--watch-namespaces="+w.ns)
	s := &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "store"}}
	s.Spec.Provider.Webhook = &stores.Webhook{URL: overlong(t)}
	w.must(w.client.Create(t.Context(), s))
	w.externalSecret("db")
	w.eventually("the value arrives, and the rest of the answer is noticed", func() bool {
		log, err := os.ReadFile(r.Log())
		w.must(err)
		if strings.Contains(string(log), canary) {
			t.Fatal("the log shows what was sent beyond the answer")
		}
		return w.secret("db") != "" && strings.Contains(string(log), "Unsolicited response received")
	})
}
