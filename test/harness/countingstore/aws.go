package countingstore

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// AWSRegion is the region of the store's secrets, and AWSRole the one role that may be assumed, by whoever has a token.
const (
	AWSRegion = "eu-west-1"
	AWSRole   = "arn:aws:iam::123456789012:role/bench"
)

// AWSEnvironment returns the variables by which a controller asks this store instead of AWS, and finds no credentials of the
// developer.
func (s *Server) AWSEnvironment() []string {
	return []string{
		"AWS_SECRETSMANAGER_ENDPOINT=" + s.address, "AWS_STS_ENDPOINT=" + s.address, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_PROFILE=", "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=",
		"AWS_SESSION_TOKEN=", "AWS_ROLE_ARN=", "AWS_WEB_IDENTITY_TOKEN_FILE=",
	}
}

// isAWS tells a request of AWS's protocols from those of the other dialects, which have paths.
func isAWS(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Path == "/" }

// awsLimit is what the store reads of a request; one of twenty ids takes a hundredth.
const awsLimit = 1 << 20

// answerAWS answers what SDKs ask of STS and Secrets Manager to read values. The body is nil for what the store does not know.
func (s *Server) answerAWS(r *http.Request) (request Request, body any) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, awsLimit))
	if err != nil {
		return Request{Kind: Other}, nil
	}
	switch _, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); action {
	case "GetSecretValue":
		var in struct {
			SecretID string `json:"SecretId"`
		}
		_ = json.Unmarshal(raw, &in) // an id that cannot be read is one that does not exist
		doc, ok := s.find(in.SecretID)
		request = Request{Kind: Read, Key: in.SecretID, Version: doc.version}
		if !ok {
			return request, nil
		}
		return request, secretValue(in.SecretID, doc)
	case "BatchGetSecretValue":
		var in struct {
			SecretIDList []string `json:"SecretIdList"`
		}
		_ = json.Unmarshal(raw, &in)
		values, failures := []any{}, []any{}
		for _, id := range in.SecretIDList {
			if doc, ok := s.find(id); ok {
				values = append(values, secretValue(id, doc))
			} else {
				failures = append(failures, object{"SecretId": id, "ErrorCode": "ResourceNotFoundException", "Message": "no such secret"})
			}
		}
		return Request{Kind: Batch, Keys: in.SecretIDList}, object{"SecretValues": values, "Errors": failures}
	case "":
		if strings.Contains(string(raw), "Action=AssumeRoleWithWebIdentity&") || strings.HasSuffix(string(raw), "Action=AssumeRoleWithWebIdentity") {
			return Request{Kind: Login}, assumedRole()
		}
	}
	return Request{Kind: Other, Key: r.Header.Get("X-Amz-Target")}, nil
}

func secretValue(id string, doc document) object {
	text, _ := json.Marshal(doc.fields) // a map of strings has JSON
	return object{
		"ARN": "arn:aws:secretsmanager:" + AWSRegion + ":123456789012:secret:" + id + "-AbCdEf", "Name": id, "SecretString": string(text), "CreatedDate": 1767225600,
		"VersionId": fmt.Sprintf("00000000-0000-4000-8000-%012d", doc.version), "VersionStages": []string{"AWSCURRENT"},
	}
}

// webIdentity is the answer of STS.
type webIdentity struct {
	XMLName         xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleWithWebIdentityResponse"`
	AccessKeyID     string   `xml:"AssumeRoleWithWebIdentityResult>Credentials>AccessKeyId"`
	SecretAccessKey string   `xml:"AssumeRoleWithWebIdentityResult>Credentials>SecretAccessKey"`
	SessionToken    string   `xml:"AssumeRoleWithWebIdentityResult>Credentials>SessionToken"`
	Expiration      string   `xml:"AssumeRoleWithWebIdentityResult>Credentials>Expiration"`
}

// assumedRole gives made-up keys for an hour.
func assumedRole() webIdentity {
	return webIdentity{AccessKeyID: "counted", SecretAccessKey: Token, SessionToken: Token, Expiration: time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}
}

// writeAWS writes an answer of answerAWS.
func writeAWS(w http.ResponseWriter, body any) {
	switch body := body.(type) {
	case nil:
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"ResourceNotFoundException","Message":"no such secret"}`)
	case webIdentity:
		w.Header().Set("Content-Type", "text/xml")
		_ = xml.NewEncoder(w).Encode(body) //nolint:gosec // G117: the keys are made up, and made to be sent
	default:
		writeJSON(w, body)
	}
}
