package awsidentity

import (
	"strings"

	"github.com/sealbridge/sealbridge/api/stores"
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
