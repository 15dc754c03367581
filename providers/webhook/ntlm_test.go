package webhook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5" // what NTLMv2 is made of
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"golang.org/x/crypto/md4" //nolint:staticcheck // what NTLM is made of

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
)

// ntlmServer lets connections in that answer its challenge with the password of user "svc" (MS-NLMP, NTLMv2). Like IIS, it refuses
// with a page.
type ntlmServer struct {
	password string
	page     []byte
	mu       sync.Mutex
	// open are the connections, by the address of the other side, that are let in.
	open   map[string]bool
	basics int
}

const challenge = "\x01\x23\x45\x67\x89\xab\xcd\xef"

func (s *ntlmServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	header := r.Header.Get("Authorization")
	if strings.HasPrefix(header, "Basic ") {
		s.basics++
	}
	raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(header, "NTLM "))
	switch {
	case s.open[r.RemoteAddr]:
		_, _ = w.Write(body)
		return
	case len(raw) > 12 && raw[8] == 1:
		w.Header().Set("WWW-Authenticate", "NTLM "+base64.StdEncoding.EncodeToString(challengeMessage()))
	case len(raw) > 64 && raw[8] == 3 && s.proves(raw):
		s.open[r.RemoteAddr] = true
		_, _ = w.Write(body)
		return
	default:
		w.Header().Set("WWW-Authenticate", "NTLM")
	}
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write(s.page)
}

// challengeMessage is a CHALLENGE_MESSAGE with the target info that NTLMv2 needs.
func challengeMessage() []byte {
	name, info := wide("LAB"), append(append([]byte{2, 0, 6, 0}, wide("LAB")...), 0, 0, 0, 0)
	b := append([]byte("NTLMSSP\x00"), 2, 0, 0, 0)
	b = field(b, len(name), 56)
	b = binary.LittleEndian.AppendUint32(b, 0x00898205) // Unicode, target, NTLM, extended security, target info
	b = append(b, challenge...)
	b = append(b, make([]byte, 8)...)
	b = field(b, len(info), 56+len(name))
	b = append(b, make([]byte, 8)...) // version
	return append(append(b, name...), info...)
}

func field(b []byte, length, offset int) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(length))
	b = binary.LittleEndian.AppendUint16(b, uint16(length))
	return binary.LittleEndian.AppendUint32(b, uint32(offset))
}

func wide(text string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// proves checks the NTLMv2 response of an AUTHENTICATE_MESSAGE.
func (s *ntlmServer) proves(raw []byte) bool {
	part := func(at int) []byte {
		length, offset := int(binary.LittleEndian.Uint16(raw[at:])), int(binary.LittleEndian.Uint32(raw[at+4:]))
		if offset+length > len(raw) {
			return nil
		}
		return raw[offset : offset+length]
	}
	response, domain, user := part(20), part(28), part(36)
	if len(response) < 16 || !bytes.Equal(user, wide("svc")) {
		return false
	}
	hash := md4.New()
	hash.Write(wide(s.password))
	sum := func(key []byte, texts ...[]byte) []byte {
		mac := hmac.New(md5.New, key)
		for _, t := range texts {
			mac.Write(t)
		}
		return mac.Sum(nil)
	}
	key := sum(hash.Sum(nil), wide("SVC"), domain)
	return hmac.Equal(response[:16], sum(key, []byte(challenge), response[16:]))
}

func TestNTLMProvesThePasswordWithoutSendingIt(t *testing.T) {
	t.Parallel()
	s := &ntlmServer{password: canary, page: []byte("<html>401 - Unauthorized</html>"), open: map[string]bool{}}
	server := httptest.NewServer(s)
	defer server.Close()
	spec := &stores.Webhook{URL: server.URL, Method: "POST", Body: `{"key":"{{ .remoteRef.key }}"}`, Auth: &stores.WebhookAuth{NTLM: &stores.WebhookNTLM{
		UsernameSecret: stores.SecretKeySelector{Name: "webhook-auth", Key: "user"}, PasswordSecret: stores.SecretKeySelector{Name: "webhook-auth", Key: "password"},
	}}}
	env := lent("unused")
	env.SetSecret(providers.ObjectRef{Name: "webhook-auth", Key: "user"}, []byte(`LAB\svc`))
	env.SetSecret(providers.ObjectRef{Name: "webhook-auth", Key: "password"}, []byte(canary))
	session := open(t, spec, env)
	var refs []providers.Ref
	for _, key := range "abcdefgh" {
		refs = append(refs, providers.Ref{Key: string(key)})
	}
	for range 2 {
		results, err := session.Fetch(t.Context(), refs)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			if got, want := value(t, r.Document, ""), `{"key":"`+refs[i].Key+`"}`; got != want {
				t.Errorf("got %q", got)
			}
		}
	}
	s.mu.Lock()
	if len(s.open) != 1 || s.basics != 0 {
		t.Errorf("%d connections were let in, the password was sent %d times", len(s.open), s.basics)
	}
	s.page = make([]byte, 1<<20+jsonhttp.MaxAnswer)
	s.mu.Unlock()
	if results, err := open(t, spec, env).Fetch(t.Context(), refs[:1]); err != nil || results[0].Err != nil {
		t.Errorf("after a page that is too large to be read: %v %v", err, results)
	}
	s.mu.Lock()
	s.page = nil
	s.mu.Unlock()

	env.SetSecret(providers.ObjectRef{Name: "webhook-auth", Key: "password"}, []byte("wrong-"+canary))
	results, err := open(t, spec, env).Fetch(t.Context(), refs[:1])
	if err != nil || !strings.Contains(errText(results[0].Err), "401 Unauthorized") || strings.Contains(errText(results[0].Err), canary) {
		t.Errorf("a wrong password: %v %v", err, results)
	}
}
