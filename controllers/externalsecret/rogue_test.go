package externalsecret_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	pb "cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sealbridge/sealbridge/test/harness/azurecloud"
	"github.com/sealbridge/sealbridge/test/harness/gcp"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// google and microsoft are the clouds to which the environment of the tests leads: there is nothing real that fails when it is told to.
// The environment is one for the whole process, too.
var (
	google    *gcp.Cloud
	microsoft *azurecloud.Cloud
)

// startClouds starts them until the tests end, and has the environment lead to them.
func startClouds(ctx context.Context) error {
	var err error
	if google, err = gcp.Start(ctx); err != nil {
		return err
	}
	process.AtEnd(google.Stop)
	if microsoft, err = azurecloud.Start(ctx); err != nil {
		return err
	}
	process.AtEnd(microsoft.Stop)
	if err := google.Before(microsoft.Env()); err != nil {
		return err
	}
	for _, variable := range google.Env() {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// rogue is a backend that answers as it is told. Logins and checks are answered well unless it is down.
type rogue struct {
	mu   sync.Mutex
	mode string
	// value is what its document holds, and good writes the answer to a read or a search of it.
	value string
	good  func(req *http.Request, value string) string
	// aside answers what is no read or search, and reports whether a request was that; nil when everything is.
	aside func(w http.ResponseWriter, req *http.Request) bool
	// grpc is set when the backend speaks gRPC.
	grpc bool
}

func (r *rogue) set(mode, value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mode, r.value = mode, value
}

func (r *rogue) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	mode, value := r.mode, r.value
	r.mu.Unlock()
	switch {
	case mode == "down":
		w.WriteHeader(http.StatusInternalServerError)
	case r.aside != nil && r.aside(w, req):
	case r.grpc:
		answerGRPC(w, req, mode, r.good(req, value))
	default:
		answerHTTP(w, req, mode, r.good(req, value))
	}
}

func answerHTTP(w http.ResponseWriter, req *http.Request, mode, body string) {
	switch mode {
	case "empty":
	case "truncated":
		_, _ = io.WriteString(w, body[:len(body)-3])
	case "5 MiB":
		_, _ = io.WriteString(w, body+strings.Repeat(" ", 5<<20)) // still a document, for whoever would read it all
	case "not UTF-8":
		_, _ = io.WriteString(w, strings.Replace(body, `{`, "{\"\xff\xfe\":0,", 1))
	case "null":
		_, _ = io.WriteString(w, "null")
	case "a page":
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html>"+canary)
	case "a redirect":
		http.Redirect(w, req, "http://127.0.0.1:1/"+canary, http.StatusTemporaryRedirect)
	case "5 MiB in little":
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		_, _ = io.WriteString(zip, body+strings.Repeat(" ", 5<<20))
		_ = zip.Close()
	case "slow":
		_, _ = io.Copy(io.Discard, req.Body) // before that, nobody notices that the client has gone
		<-req.Context().Done()
	case "throttled for a second":
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case "throttled":
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, canary)
	case "an internal error":
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, canary)
	case "reset":
		w.Header().Set("Content-Length", "100000")
		_, _ = io.WriteString(w, body)
		panic(http.ErrAbortHandler)
	default:
		_, _ = io.WriteString(w, body)
	}
}

// answerGRPC does the same with one message of gRPC.
func answerGRPC(w http.ResponseWriter, req *http.Request, mode, message string) {
	frame := func(message string) string {
		return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))) + message
	}
	end := func(st *status.Status) {
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", fmt.Sprint(int(st.Code())))
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", st.Message())
		if raw, err := proto.Marshal(st.Proto()); err == nil && len(st.Details()) > 0 {
			w.Header().Set(http.TrailerPrefix+"Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(raw))
		}
	}
	switch mode {
	case "a page", "a redirect":
		answerHTTP(w, req, mode, "")
		return
	case "5 MiB in little":
		w.Header().Set("Grpc-Encoding", "gzip")
	}
	w.Header().Set("Content-Type", "application/grpc")
	w.WriteHeader(http.StatusOK)
	switch mode {
	case "empty":
	case "null":
		end(status.New(codes.OK, "")) // after no message at all; an empty one is that of an empty list
	case "5 MiB in little":
		var packed bytes.Buffer
		zip := gzip.NewWriter(&packed)
		_, _ = io.WriteString(zip, message+strings.Repeat(" ", 5<<20))
		_ = zip.Close()
		_, _ = io.WriteString(w, "\x01"+frame(packed.String())[1:])
		end(status.New(codes.OK, ""))
	case "truncated":
		_, _ = io.WriteString(w, frame(message)[:len(message)-3])
		end(status.New(codes.OK, ""))
	case "5 MiB":
		_, _ = io.WriteString(w, frame(message+strings.Repeat(" ", 5<<20)))
		end(status.New(codes.OK, ""))
	case "not UTF-8":
		_, _ = io.WriteString(w, frame(strings.Replace(message, "projects", "\xff\xfeojects", 1)))
		end(status.New(codes.OK, ""))
	case "slow":
		<-req.Context().Done()
	case "throttled for a second":
		st, _ := status.New(codes.ResourceExhausted, canary).WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
		end(st)
	case "throttled":
		end(status.New(codes.ResourceExhausted, canary))
	case "an internal error":
		end(status.New(codes.Internal, canary))
	case "reset":
		_, _ = io.WriteString(w, frame(message)[:len(message)-3])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	default:
		_, _ = io.WriteString(w, frame(message))
		end(status.New(codes.OK, ""))
	}
}

// checks answers what Vault and Kubernetes are asked beside documents.
func checks(w http.ResponseWriter, req *http.Request) bool {
	switch {
	case strings.HasSuffix(req.URL.Path, "/lookup-self"):
		_, _ = io.WriteString(w, `{"data":{"expire_time":null}}`)
	case strings.Contains(req.URL.Path, "/sys/internal/"), req.Method == http.MethodPost:
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"errors":["permission denied"]}`)
	default:
		return false
	}
	return true
}

// checksOfAWS answers what AWS is asked beside secrets: who somebody is.
func checksOfAWS(w http.ResponseWriter, req *http.Request) bool {
	if req.Header.Get("X-Amz-Target") != "" {
		return false
	}
	_, _ = io.WriteString(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/x</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>`)
	return true
}

// checksOfAzure tells whose tokens a vault takes, and that it has no other secret than db.
func checksOfAzure(w http.ResponseWriter, req *http.Request) bool {
	switch path := strings.TrimRight(req.URL.Path, "/"); {
	case req.Header.Get("Authorization") == "":
		azurecloud.Challenge(w)
	case !strings.HasSuffix(path, "/secrets") && !strings.HasSuffix(path, "/db"):
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error":{"code":"SecretNotFound","message":"x"}}`)
	default:
		return false
	}
	return true
}

// checksOfGoogle answers which rights somebody has.
func checksOfGoogle(w http.ResponseWriter, req *http.Request) bool {
	if !strings.HasSuffix(req.URL.Path, "/TestIamPermissions") {
		return false
	}
	answerGRPC(w, req, "", "")
	return true
}

// The documents of rogues, and the searches that find them.

func rogueVault(req *http.Request, value string) string {
	if req.URL.Query().Get("list") == "true" {
		return `{"data":{"keys":["db"]}}`
	}
	return `{"data":{"data":{"password":"` + value + `"},"metadata":{"version":1}}}`
}

func rogueWebhook(_ *http.Request, value string) string {
	return `{"data":{"password":"` + value + `"}}`
}

func rogueKubernetes(req *http.Request, value string) string {
	secret := `"metadata":{"name":"db","namespace":"default","resourceVersion":"1"},"data":{"password":"` + base64.StdEncoding.EncodeToString([]byte(value)) + `"}}`
	if strings.HasSuffix(req.URL.Path, "/secrets") {
		return `{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[{` + secret + `]}`
	}
	return `{"kind":"Secret","apiVersion":"v1",` + secret
}

func rogueAWS(req *http.Request, value string) string {
	secret := `{"ARN":"arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-AbCdEf","Name":"db","VersionId":"1","SecretString":"{\"password\":\"` + value + `\"}"}`
	switch _, action, _ := strings.Cut(req.Header.Get("X-Amz-Target"), "."); action {
	case "ListSecrets":
		return `{"SecretList":[` + secret + `]}`
	case "BatchGetSecretValue":
		return `{"SecretValues":[` + secret + `],"Errors":[]}`
	default:
		return secret
	}
}

func rogueAzure(req *http.Request, value string) string {
	const named = `"id":"https://x/secrets/db","attributes":{"enabled":true}}`
	if strings.HasSuffix(strings.TrimRight(req.URL.Path, "/"), "/secrets") {
		return `{"value":[{` + named + `]}`
	}
	return `{"value":"{\"password\":\"` + value + `\"}",` + strings.Replace(named, "secrets/db", "secrets/db/1", 1)
}

func rogueGoogle(req *http.Request, value string) string {
	var message proto.Message = &pb.AccessSecretVersionResponse{
		Name: "projects/1/locations/rogue/secrets/db/versions/1", Payload: &pb.SecretPayload{Data: []byte(`{"password":"` + value + `"}`)},
	}
	if strings.HasSuffix(req.URL.Path, "/ListSecrets") {
		message = &pb.ListSecretsResponse{Secrets: []*pb.Secret{{Name: "projects/1/locations/rogue/secrets/db"}}}
	}
	raw, err := proto.Marshal(message)
	if err != nil {
		panic(errors.Join(http.ErrAbortHandler, err))
	}
	return string(raw)
}
