package layers_test

import (
	"maps"
	"os"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/test/harness/process"
	"github.com/sealbridge/sealbridge/test/layers"
)

// TestThePlacesOfProvidersThatLookAroundAreKnown: an identity that is found around the controller is its own, and a store may have
// it only where Env.Ambient lends it. Before a place is added here, look that it asks, and that Provider.Ambient says so.
func TestThePlacesOfProvidersThatLookAroundAreKnown(t *testing.T) {
	t.Parallel()
	known := map[string]string{
		"providers/azure/federation.go os.Getenv":                                   "the controller's own federation, for which login.obtain asks; the tenant of accounts that say none",
		"providers/azure/federation.go os.ReadFile":                                 "the controller's own federation, for which login.obtain asks",
		"providers/azure/login.go azidentity.NewManagedIdentityCredential":          "login.obtain asks",
		"providers/builtin/builtin.go os.LookupEnv":                                 "where AWS is; no identity",
		"providers/internal/googleidentity/login.go credentials.DetectDefault":      "byDefault asks",
		"providers/internal/googleidentity/login.go externalaccount.NewCredentials": "of what byFederation has read: it asks where that means the node",
		"providers/internal/googleidentity/wire.go metadata.NewWithOptions":         "what the cluster is called, which is no identity; IdentityToken asks",
		"providers/internal/awsidentity/environment.go os.ReadFile":                 "certificates that AWS's are checked against",
		"providers/internal/awsidentity/login.go config.LoadDefaultConfig":          "Login.ambient asks",
	}
	// The modules of others: one that is new may find identities by itself. Its functions that do belong into lookingCalls.
	modules := []string{
		"cloud.google.com/go", "github.com/Azure/azure-sdk-for-go", "github.com/Azure/go-ntlmssp", "github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go", "github.com/go-jose/go-jose",
		"github.com/theory/jsonpath", "github.com/youmark/pkcs8", "golang.org/x/oauth2", "golang.org/x/sync", "google.golang.org/api", "google.golang.org/genproto", "google.golang.org/grpc",
		"k8s.io/api", "k8s.io/apimachinery", "sigs.k8s.io/yaml",
	}
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	places, imported, err := layers.Around(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(known)), places); diff != "" {
		t.Errorf("places (-known +found):\n%s", diff)
	}
	if diff := cmp.Diff(modules, imported); diff != "" {
		t.Errorf("modules (-known +found):\n%s", diff)
	}
}

func TestCodeThatLooksAroundIsFound(t *testing.T) {
	t.Parallel()
	tree := fstest.MapFS{
		"providers/a/a.go":            {Data: []byte("package a\n\nimport sys \"os\"\n\nvar _ = sys.Getenv(\"A\") + sys.Getenv(\"B\")\n\nvar _ = sys.Args\n")},
		"providers/a/b.go":            {Data: []byte("package a\n\nimport . \"os\"\n")},
		"providers/a/c.go":            {Data: []byte("package a\n\nimport \"github.com/aws/aws-sdk-go-v2/config\"\n\nvar load = config.LoadDefaultConfig\n\nvar _ = config.WithRegion\n")},
		"providers/a/d.go":            {Data: []byte("package a\n\nimport (\n\t_ \"example.com/cloud/sdk/v2\"\n\t_ \"" + layers.Module + "/providers\"\n\t_ \"net/http\"\n)\n")},
		"providers/internal/x/a.go":   {Data: []byte("package x\n\nimport \"k8s.io/client-go/rest\"\n\nvar _ = rest.InClusterConfig\n")},
		"providers/a/a_test.go":       {Data: []byte("package a\n\nimport \"os\"\n\nvar _ = os.Getenv\n")},
		"providers/providertest/a.go": {Data: []byte("package a\n\nimport \"os\"\n\nvar _ = os.Getenv\n")},
		"controllers/a.go":            {Data: []byte("package a\n\nimport \"os\"\n\nvar _ = os.Getenv\n")},
	}
	places, modules, err := layers.Around(tree)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"providers/a/a.go os.Getenv", "providers/a/b.go os without its name", "providers/a/c.go config.LoadDefaultConfig", "providers/internal/x/a.go rest.InClusterConfig"}
	if diff := cmp.Diff(want, places); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"example.com/cloud", "github.com/aws/aws-sdk-go-v2", "k8s.io/client-go"}, modules); diff != "" {
		t.Errorf("modules (-want +got):\n%s", diff)
	}
}
