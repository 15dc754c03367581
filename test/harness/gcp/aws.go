package gcp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// AWSIdentity is one of AWS that a pool trusts.
type AWSIdentity struct{ AccessKeyID, SecretAccessKey, SessionToken, Region string }

// TrustAWS has a pool trust an identity of AWS.
func (c *Cloud) TrustAWS(audience string, identity AWSIdentity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aws[audience] = identity
}

// signed reports whether a subject token is a request to AWS for the caller's identity, for this audience, that the identity has
// signed (AWS Signature Version 4).
func (a AWSIdentity) signed(subject, audience string) bool {
	text, err := url.QueryUnescape(subject)
	var request struct {
		URL, Method string
		Headers     []struct{ Key, Value string }
	}
	if err != nil || json.Unmarshal([]byte(text), &request) != nil {
		return false
	}
	headers := map[string]string{}
	for _, h := range request.Headers {
		headers[strings.ToLower(h.Key)] = h.Value
	}
	u, err := url.Parse(request.URL)
	if err != nil || u.Host != "sts."+a.Region+".amazonaws.com" || headers["x-goog-cloud-target-resource"] != audience || headers["x-amz-security-token"] != a.SessionToken {
		return false
	}
	authorization := headers["authorization"]
	_, list, _ := strings.Cut(authorization, "SignedHeaders=")
	list, signature, _ := strings.Cut(list, ", Signature=")
	if len(headers["x-amz-date"]) < 8 || !slices.Contains(strings.Split(list, ";"), "x-goog-cloud-target-resource") {
		return false
	}
	day := headers["x-amz-date"][:8]
	headers["host"] = u.Host
	canonical := request.Method + "\n/\n" + u.Query().Encode() + "\n"
	for name := range strings.SplitSeq(list, ";") {
		canonical += name + ":" + headers[name] + "\n"
	}
	empty := sha256.Sum256(nil)
	canonical += "\n" + list + "\n" + hex.EncodeToString(empty[:])
	hashed := sha256.Sum256([]byte(canonical))
	credential := day + "/" + a.Region + "/sts/aws4_request"
	key := []byte("AWS4" + a.SecretAccessKey)
	for _, part := range []string{day, a.Region, "sts", "aws4_request", "AWS4-HMAC-SHA256\n" + headers["x-amz-date"] + "\n" + credential + "\n" + hex.EncodeToString(hashed[:])} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return strings.Contains(authorization, "Credential="+a.AccessKeyID+"/"+credential) && hmac.Equal([]byte(hex.EncodeToString(key)), []byte(signature))
}
