package setup

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// Who comes from External Secrets Operator alone has no definition of SealedSecrets, and needs none.
func TestADefinitionIsNeededOnlyOfWhatIsServed(t *testing.T) {
	t.Parallel()
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"ExternalSecret", "SecretStore"} {
		mapper.Add(esv1.GroupVersion().WithKind(kind), meta.RESTScopeNamespace)
	}
	for list, needed := range map[string]bool{"externalsecret,secretstore": false, "externalsecret,secretstore,sealedsecret": true} {
		on, err := Enabled(strings.Split(list, ","))
		if err != nil {
			t.Fatal(err)
		}
		_, err = newManager(&rest.Config{Host: "https://127.0.0.1:1"}, Options{MetricsBindAddress: "0", HealthProbeBindAddress: "0"}, on, mapper, nil)
		if missing := err != nil && strings.Contains(err.Error(), "SealedSecret"); missing != needed || err != nil && !missing {
			t.Errorf("%s: %v", list, err)
		}
	}
}
