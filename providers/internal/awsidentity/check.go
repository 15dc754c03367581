package awsidentity

import (
	"fmt"
	"strings"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// CheckRegion looks at the form alone: which regions there are changes, and an own endpoint may have others. The region
// becomes part of a host name.
func CheckRegion(c *credential.Checks, field, region string) {
	isPart := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' }
	switch {
	case region == "":
		c.Add(field, "is required; name a region such as eu-west-1")
	case len(region) > 63 || strings.ContainsFunc(region, func(r rune) bool { return !isPart(r) }) || region[0] == '-' || region[len(region)-1] == '-':
		c.Add(field, "must be the name of a region such as eu-west-1")
	}
}

// Ambient says that Login.Base takes the controller's own identity, nil when it does not; field is the path of the struct that
// has jwt and ref. It is the field itself that leaves the identity to the controller, because it has neither.
func Ambient(field string, jwt *stores.AWSJWTAuth, ref *stores.AWSAuthSecretRef) *providers.Ambient {
	if jwt != nil || ref != nil {
		return nil
	}
	return &providers.Ambient{Field: field, Instead: fmt.Sprintf("set %[1]s.jwt.serviceAccountRef or %[1]s.secretRef", field)}
}

// CheckAuth checks what Login.Base takes; field is the path of the struct that has both.
func CheckAuth(c *credential.Checks, field string, jwt *stores.AWSJWTAuth, ref *stores.AWSAuthSecretRef) {
	switch {
	case jwt != nil && jwt.ServiceAccountRef == nil:
		c.Add(field+".jwt.serviceAccountRef", "is required; name a ServiceAccount")
	case jwt != nil:
		c.Account(field+".jwt.serviceAccountRef", *jwt.ServiceAccountRef)
	}
	if ref != nil {
		c.Selector(field+".secretRef.accessKeyIDSecretRef", ref.AccessKeyID, false)
		c.Selector(field+".secretRef.secretAccessKeySecretRef", ref.SecretAccessKey, false)
		if ref.SessionToken != nil {
			c.Selector(field+".secretRef.sessionTokenSecretRef", ref.SessionToken, false)
		}
	}
}
