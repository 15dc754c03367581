package vault

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
)

func TestWhatIsSignedIsForAWSItself(t *testing.T) {
	t.Parallel()
	for want, tc := range map[string]struct {
		region      string
		environment awsidentity.Environment
	}{
		"https://sts.amazonaws.com/":                   {usualRegion, awsidentity.Environment{}},
		"https://sts.eu-west-1.amazonaws.com/":         {"eu-west-1", awsidentity.Environment{}},
		"https://sts.eu-west-2.amazonaws.com/":         {"eu-west-2", awsidentity.Environment{Endpoints: awsidentity.Endpoints{STS: "https://elsewhere.example.com"}}},
		"https://sts.cn-north-1.amazonaws.com.cn/":     {"cn-north-1", awsidentity.Environment{}},
		"https://sts-fips.us-east-1.amazonaws.com/":    {usualRegion, awsidentity.Environment{FIPS: true}},
		"https://sts.us-east-1.api.aws/":               {usualRegion, awsidentity.Environment{DualStack: true}},
		"https://sts.mars-north-9.amazonaws.com/":      {"mars-north-9", awsidentity.Environment{}},
		"https://sts-fips.ca-central-1.amazonaws.com/": {"ca-central-1", awsidentity.Environment{FIPS: true}},
		"https://sts.us-gov-west-1.amazonaws.com/":     {"us-gov-west-1", awsidentity.Environment{}},
		"https://sts-fips.ap-south-1.api.aws/":         {"ap-south-1", awsidentity.Environment{FIPS: true, DualStack: true}},
		"https://sts.ap-southeast-2.api.aws/":          {"ap-southeast-2", awsidentity.Environment{DualStack: true}},
	} {
		if got, err := addressOfSTS(t.Context(), tc.region, tc.environment); err != nil || got != want {
			t.Errorf("want %s, got %s, %v", want, got, err)
		}
	}
}

// What Vault sends on is what it makes of the login: its signature has to be that of what was signed.
func TestTheSignatureIsThatOfTheRequestThatVaultSends(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	temporary := aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "key", SessionToken: "token"}
	for name, tc := range map[string]struct {
		auth  stores.VaultIAMAuth
		creds aws.Credentials
		want  []string
	}{
		"an access key":      {stores.VaultIAMAuth{}, aws.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "key"}, []string{"Authorization", "Content-Type", "X-Amz-Date"}},
		"with a token":       {stores.VaultIAMAuth{Role: "app"}, temporary, []string{"Authorization", "Content-Type", "X-Amz-Date", "X-Amz-Security-Token"}},
		"for a named server": {stores.VaultIAMAuth{ServerID: "vault.example.com"}, temporary, []string{"Authorization", "Content-Type", "X-Amz-Date", "X-Amz-Security-Token", "X-Vault-Aws-Iam-Server-Id"}},
	} {
		login, err := signedLogin(t.Context(), "https://sts.eu-west-1.amazonaws.com/", "eu-west-1", &tc.auth, tc.creds, at)
		if err != nil {
			t.Fatal(err)
		}
		if role, found := login["role"]; role != tc.auth.Role || found == (role == "") {
			t.Errorf("%s: it is for role %q", name, role)
		}
		decoded := func(field string) string {
			raw, err := base64.StdEncoding.DecodeString(login[field])
			if err != nil {
				t.Fatal(err)
			}
			return string(raw)
		}
		sent, err := http.NewRequestWithContext(t.Context(), login["iam_http_request_method"], decoded("iam_request_url"), strings.NewReader(decoded("iam_request_body")))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(decoded("iam_request_headers")), &sent.Header); err != nil {
			t.Fatal(err)
		}
		names := make([]string, 0, len(sent.Header))
		for name := range sent.Header {
			names = append(names, name)
		}
		if slices.Sort(names); !slices.Equal(names, tc.want) {
			t.Errorf("%s: it sends %q", name, names)
		}
		signed := sent.Header.Get("Authorization")
		if _, headers, _ := strings.Cut(signed, "SignedHeaders="); tc.auth.ServerID != "" && !strings.Contains(headers, "x-vault-aws-iam-server-id") {
			t.Errorf("%s: the server's id is not signed", name)
		}
		sent.Header.Del("Authorization")
		const digestOfBody = "ab821ae955788b0e33ebd34c208442ccfc2d406e2edc5e7a39bd6458fbb4f843"
		if err := v4.NewSigner().SignHTTP(t.Context(), tc.creds, sent, digestOfBody, "sts", "eu-west-1", at); err != nil {
			t.Fatal(err)
		}
		if sent.Header.Get("Authorization") != signed {
			t.Errorf("%s: the signature is that of another request", name)
		}
	}
}
