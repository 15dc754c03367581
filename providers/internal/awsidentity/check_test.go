package awsidentity

import (
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

func TestARegionCanBePartOfAHostName(t *testing.T) {
	t.Parallel()
	for region, good := range map[string]bool{
		"eu-west-1": true, "a": true, "az09": true, strings.Repeat("x", 63): true,
		"": false, strings.Repeat("x", 64): false, "-a": false, "a-": false, "EU": false, "a.b": false, "a/b": false, "a_b": false, "a{b": false, "a:b": false, "ü": false,
	} {
		var c credential.Checks
		CheckRegion(&c, "region", region)
		if (len(c.Problems) == 0) != good {
			t.Errorf("%q: %v", region, c.Problems)
		}
	}
}

func TestAccessKeysNameTheKeysOfTheirSecrets(t *testing.T) {
	t.Parallel()
	var c credential.Checks
	none := &stores.SecretKeySelector{Name: "keys"}
	CheckAuth(&c, "auth", nil, &stores.AWSAuthSecretRef{AccessKeyID: none, SecretAccessKey: none, SessionToken: none})
	if len(c.Problems) != 3 {
		t.Errorf("a Secret of access keys has no usual keys: %v", c.Problems)
	}
}
