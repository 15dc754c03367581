package gcp

import (
	"bytes"
	"context"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"time"

	pb "cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// state is what the projects hold. It is guarded by Cloud.mu.
type state struct {
	// secrets are by the project or location that holds them, and by their name.
	secrets map[string]map[string]*secret
	// numbers are those of projects by their names; Google answers with them.
	numbers map[string]string
	grants  map[grant]bool
	faults  map[string]func(ctx context.Context, method string) error
	tampers map[string]func(answer any)
}

type secret struct {
	labels, annotations map[string]string
	versions            []*version
	aliases             map[string]int64
}

type version struct {
	data    []byte
	state   pb.SecretVersion_State
	created time.Time
}

type grant struct{ principal, resource, permission string }

func newState() state {
	return state{
		secrets: map[string]map[string]*secret{}, numbers: map[string]string{}, grants: map[grant]bool{},
		faults: map[string]func(context.Context, string) error{}, tampers: map[string]func(any){},
	}
}

// Put adds a version to a secret, which it makes when it is not there, and returns its number. parent is "projects/p" or
// "projects/p/locations/l".
func (c *Cloud) Put(parent, name string, data []byte) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.ensure(parent, name)
	s.versions = append(s.versions, &version{data: bytes.Clone(data), state: pb.SecretVersion_ENABLED, created: time.Now()})
	return strconv.Itoa(len(s.versions))
}

// Describe sets the labels and annotations of a secret, which it makes without a version when it is not there.
func (c *Cloud) Describe(parent, name string, labels, annotations map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.ensure(parent, name)
	s.labels, s.annotations = maps.Clone(labels), maps.Clone(annotations)
}

// Alias names a version of a secret.
func (c *Cloud) Alias(parent, name, alias string, number int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.ensure(parent, name)
	if s.aliases == nil {
		s.aliases = map[string]int64{}
	}
	s.aliases[alias] = number
}

// Disable and Destroy change the state of a version.
func (c *Cloud) Disable(parent, name string, number int) {
	c.setState(parent, name, number, pb.SecretVersion_DISABLED)
}

// Destroy makes the content of a version go for ever.
func (c *Cloud) Destroy(parent, name string, number int) {
	c.setState(parent, name, number, pb.SecretVersion_DESTROYED)
}

func (c *Cloud) setState(parent, name string, number int, to pb.SecretVersion_State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ensure(parent, name).versions[number-1].state = to
}

// Remove removes a secret.
func (c *Cloud) Remove(parent, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.secrets[parent], name)
}

func (c *Cloud) ensure(parent, name string) *secret {
	c.number(projectOf(parent))
	if c.secrets[parent] == nil {
		c.secrets[parent] = map[string]*secret{}
	}
	s := c.secrets[parent][name]
	if s == nil {
		s = &secret{}
		c.secrets[parent][name] = s
	}
	return s
}

// number returns the number of a project, which it makes when there is none. The caller holds the lock.
func (c *Cloud) number(project string) string {
	n, ok := c.numbers[project]
	if !ok {
		n = strconv.Itoa(1000 + len(c.numbers))
		c.numbers[project] = n
	}
	return n
}

func projectOf(resource string) string {
	parts := strings.SplitN(resource, "/", 3)
	if len(parts) < 2 || parts[0] != "projects" {
		return ""
	}
	return parts[1]
}

// Grant lets a principal, "serviceAccount:name@project.iam.gserviceaccount.com" for one, do something with a resource and all that
// is in it.
func (c *Cloud) Grant(principal, resource string, permissions ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, permission := range permissions {
		c.grants[grant{principal, resource, permission}] = true
	}
}

// Revoke takes back what Grant gave.
func (c *Cloud) Revoke(principal, resource string, permissions ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, permission := range permissions {
		delete(c.grants, grant{principal, resource, permission})
	}
}

// may reports whether a principal has a permission on a resource or what holds it. The caller holds the lock.
func (c *Cloud) may(principal, resource, permission string) bool {
	for at := resource; at != ""; {
		if c.grants[grant{principal, at, permission}] {
			return true
		}
		cut := strings.LastIndexByte(at, '/')
		if cut < 0 {
			return false
		}
		at = at[:cut]
	}
	return false
}

// Break has requests about a project fail as the function says, nil for none; it may also wait for the end of the context.
func (c *Cloud) Break(project string, fault func(ctx context.Context, method string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults[project] = fault
}

// Hang has requests about a project be answered when their context ends.
func (c *Cloud) Hang(project string) {
	c.Break(project, func(ctx context.Context, _ string) error {
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	})
}

// Tamper changes the answers that hold the content (*pb.AccessSecretVersionResponse) or metadata (*pb.Secret) of a secret of a project.
func (c *Cloud) Tamper(project string, change func(answer any)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tampers[project] = change
}

var resourceNames = regexp.MustCompile(`^(projects/[^/]+(?:/locations/[^/]+)?)/secrets/([a-zA-Z0-9_-]{1,255})(?:/versions/([^/]+))?$`)

// find returns what a resource name names: the secret, what holds it, and the name of the version. The caller holds the lock.
func (c *Cloud) find(resource string) (held *secret, parent, version string, err error) {
	m := resourceNames.FindStringSubmatch(resource)
	if m == nil {
		return nil, "", "", status.Errorf(codes.InvalidArgument, "The provided Secret Version ID [%s] does not match the expected format", resource)
	}
	s := c.secrets[m[1]][m[2]]
	if s == nil {
		return nil, m[1], m[3], status.Errorf(codes.NotFound, "Secret [%s] not found or has no versions.", c.numbered(m[1]+"/secrets/"+m[2]))
	}
	return s, m[1], m[3], nil
}

// named returns a resource name with the name of the project in the place of its number: both are accepted. The caller holds the lock.
func (c *Cloud) named(resource string) string {
	project := projectOf(resource)
	for name, number := range c.numbers {
		if number == project {
			return "projects/" + name + strings.TrimPrefix(resource, "projects/"+project)
		}
	}
	return resource
}

// numbered returns a resource name with the number of the project in the place of its name. The caller holds the lock.
func (c *Cloud) numbered(resource string) string {
	project := projectOf(resource)
	return "projects/" + c.number(project) + strings.TrimPrefix(resource, "projects/"+project)
}
