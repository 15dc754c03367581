package gitsync_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/gitsync"
	"github.com/sealbridge/sealbridge/controllers/gitsync/source"
	"github.com/sealbridge/sealbridge/crypto/sopsfile"
	"github.com/sealbridge/sealbridge/crypto/sopsfile/sopstest"
	"github.com/sealbridge/sealbridge/test/harness/gitserver"
)

// origin is a real repository and what a GitSync needs to read it.
type origin struct {
	*world
	server *gitserver.Server
	repo   *gitserver.Repo
	key    string // an age identity, in the Secret "age"
	to     string // its recipient
}

// newOrigin returns a world whose Git is the real one; limits bound it.
func newOrigin(t *testing.T, limits source.Limits) *origin {
	t.Helper()
	w := newWorld(t)
	w.options = func(d *gitsync.Deps) { d.Git = gitsync.NewGit(source.New(limits)) }
	server := gitserver.NewWith(t, gitserver.Options{Username: "git", Password: canary})
	repo, err := server.Create(t.Context(), "team/app")
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{world: w, server: server, repo: repo}
	o.key, o.to = sopstest.Identity(t)
	o.put("https", map[string][]byte{"username": []byte("git"), "password": []byte(canary), "ca.crt": server.CA()})
	o.put("ssh", map[string][]byte{"identity": server.ClientKey(), "known_hosts": server.KnownHosts()})
	o.put("age", map[string][]byte{"team.agekey": []byte(o.key)})
	w.start()
	return o
}

func (o *origin) put(name string, data map[string][]byte) {
	o.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: o.ns, Name: name}, Data: data}
	if err := o.Create(o.Context(), s); err != nil {
		o.Fatal(err)
	}
}

func (o *origin) commit(change gitserver.Change) string {
	o.Helper()
	id, err := o.repo.Commit(o.Context(), change)
	if err != nil {
		o.Fatal(err)
	}
	o.request("app")
	return "main@sha1:" + id
}

func (o *origin) sops(plain string) string {
	o.Helper()
	return string(sopstest.Encrypt(o.T, sopstest.File{Format: sopsfile.YAML, Plain: plain, Recipients: []string{o.to}}))
}

// sync creates the GitSync "app" of the path apps over https.
func (o *origin) sync(edit func(*v1alpha1.GitSyncSpec)) {
	o.Helper()
	o.gitSync("app", func(s *v1alpha1.GitSyncSpec) {
		s.URL, s.SecretRef = o.repo.HTTPS(), &v1alpha1.LocalRef{Name: "https"}
		s.Ref, s.Path = &v1alpha1.GitRef{Branch: "main"}, "apps"
		s.Decryption = &v1alpha1.Decryption{SecretRef: &v1alpha1.LocalRef{Name: "age"}}
		if edit != nil {
			edit(s)
		}
	})
}

const plainSecret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\nstringData:\n  password: " + canary + "\n"

func TestARealRepositoryBecomesRunningSecrets(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*origin, *v1alpha1.GitSyncSpec){
		"over https": func(*origin, *v1alpha1.GitSyncSpec) {},
		"over ssh": func(o *origin, s *v1alpha1.GitSyncSpec) {
			s.URL, s.SecretRef = o.repo.SSH(), &v1alpha1.LocalRef{Name: "ssh"}
		},
		"by the default branch": func(_ *origin, s *v1alpha1.GitSyncSpec) { s.Ref = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, source.Limits{})
			o.commit(gitserver.Change{Files: map[string]string{
				"apps/kustomization.yaml": "resources: [secret.yaml, deployment.yaml]\n",
				"apps/secret.yaml":        o.sops(plainSecret), "apps/deployment.yaml": deployment("api", "db"),
				"elsewhere/x.yaml": configMap("x", "1"),
			}})
			o.sync(func(s *v1alpha1.GitSyncSpec) { edit(o, s) })
			o.eventually("it is ready", func() bool {
				return condition(o.get("app"), v1alpha1.ConditionReady).Status == metav1.ConditionTrue
			})
			if got := o.world.secret("db")["password"]; got != canary {
				t.Errorf("the Secret holds %q", got)
			}
			if !o.exists("apps/v1", "Deployment", "api") || o.exists("v1", "ConfigMap", "x") {
				t.Error("not what the path holds was applied")
			}
			o.delete("v1", "Secret", "db")
			o.server.SetFault(gitserver.Fault{Down: true})
			o.eventually("a Secret comes back while Git is down", func() bool { return o.exists("v1", "Secret", "db") })
			o.server.SetFault(gitserver.Fault{})
			o.quiet()
			asked := len(o.server.Requests())
			o.request("app")
			o.eventually("Git is asked", func() bool { return len(o.server.Requests()) > asked })
			o.quiet()
			if n := len(o.server.Requests()) - asked; n != 1 {
				t.Errorf("an idle tick asked the server %d times, want once: %q", n, o.server.Requests()[asked:])
			}
		})
	}
}

func TestACommitElsewhereInTheRepositoryBuildsNothing(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, source.Limits{})
	o.sync(nil)
	o.ready("app", o.commit(gitserver.Change{Files: map[string]string{"apps/a.yaml": o.sops(plainSecret)}}))
	o.quiet()
	o.traffic.reset()
	o.ready("app", o.commit(gitserver.Change{Files: map[string]string{"elsewhere/x.yaml": "x"}}))
	seen, writes := o.traffic.since()
	if writes != 1 {
		t.Errorf("it wrote %d times, want the status alone: %q", writes, seen)
	}
	o.delete("v1", "Secret", "db")
	o.eventually("the Secret comes back", func() bool { return o.exists("v1", "Secret", "db") })
}

func TestABadRepositoryIsNamedAndChangesNothing(t *testing.T) {
	t.Parallel()
	wrong := func(o *origin) string { // a value was exchanged after encryption
		return strings.Replace(o.sops(plainSecret+"immutable: false\n"), "name: ENC[", "name: XENC[", 1)
	}
	for name, tc := range map[string]struct {
		files  func(*origin) map[string]string
		edit   func(*v1alpha1.GitSyncSpec)
		fault  gitserver.Fault
		limits source.Limits
		reason string
		says   string
	}{
		"a plain Secret": {
			files:  func(*origin) map[string]string { return map[string]string{"apps/db.yaml": plainSecret} },
			reason: v1alpha1.ReasonPlaintextSecret, says: "apps/db.yaml: Secret db has password",
		},
		"a changed SOPS file": {
			files:  func(o *origin) map[string]string { return map[string]string{"apps/db.yaml": wrong(o)} },
			reason: v1alpha1.ReasonDecryptionFailed, says: "apps/db.yaml",
		},
		"a SOPS file for others": {
			files: func(o *origin) map[string]string {
				_, o.to = sopstest.Identity(o.T)
				return map[string]string{"apps/db.yaml": o.sops(plainSecret)}
			},
			reason: v1alpha1.ReasonDecryptionFailed, says: "encrypted for age",
		},
		"a kustomization that reaches outside": {
			files: func(*origin) map[string]string {
				return map[string]string{"apps/kustomization.yaml": "resources: [../../../etc/passwd]\n"}
			},
			reason: v1alpha1.ReasonBuildFailed, says: "apps",
		},
		"a kustomization with a remote base": {
			files: func(*origin) map[string]string {
				return map[string]string{"apps/kustomization.yaml": "resources: ['https://example.com/x.yaml?token=" + canary + "']\n"}
			},
			reason: v1alpha1.ReasonBuildFailed, says: "apps",
		},
		"a file that is not YAML": {
			files: func(*origin) map[string]string {
				return map[string]string{"apps/x.yaml": "kind: [" + canary}
			},
			reason: v1alpha1.ReasonBuildFailed, says: "apps/x.yaml",
		},
		"a path that is gone": {
			edit:   func(s *v1alpha1.GitSyncSpec) { s.Path = "nowhere" },
			reason: v1alpha1.ReasonPathNotFound, says: "nowhere",
		},
		"a branch that is gone": {
			edit:   func(s *v1alpha1.GitSyncSpec) { s.Ref = &v1alpha1.GitRef{Branch: "nowhere"} },
			reason: v1alpha1.ReasonReferenceNotFound, says: "nowhere",
		},
		"a repository that is down": {
			fault: gitserver.Fault{Down: true}, reason: v1alpha1.ReasonGitOperationFailed, says: "the connection failed",
		},
		"a server that talks rubbish": {
			fault: gitserver.Fault{Garbage: true}, reason: v1alpha1.ReasonInvalid, says: "not a Git repository",
		},
		"credentials that are refused": {
			edit:   func(s *v1alpha1.GitSyncSpec) { s.SecretRef = &v1alpha1.LocalRef{Name: "ca-only"} },
			reason: v1alpha1.ReasonAuthenticationFailed, says: "team/app",
		},
		"credentials that are not there": {
			edit:   func(s *v1alpha1.GitSyncSpec) { s.SecretRef = &v1alpha1.LocalRef{Name: "none"} },
			reason: v1alpha1.ReasonAuthenticationFailed, says: "spec.secretRef does not exist; create it",
		},
		"keys that are not there": {
			edit: func(s *v1alpha1.GitSyncSpec) {
				s.Decryption = &v1alpha1.Decryption{SecretRef: &v1alpha1.LocalRef{Name: "none"}}
			},
			reason: v1alpha1.ReasonDecryptionFailed, says: "spec.decryption.secretRef does not exist; create it",
		},
		"a repository that is too large": {
			files: func(*origin) map[string]string {
				return map[string]string{"apps/big.txt": strings.Repeat(canary, 20000)}
			},
			limits: source.Limits{ObjectBytes: 64 << 10}, reason: v1alpha1.ReasonRepositoryTooLarge, says: "limit",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, tc.limits)
			o.put("ca-only", map[string][]byte{"ca.crt": o.server.CA()})
			o.sync(nil)
			o.ready("app", o.commit(gitserver.Change{Files: map[string]string{"apps/stays.yaml": configMap("stays", "1")}}))
			before := o.object("v1", "ConfigMap", "stays").GetResourceVersion()
			if tc.files != nil {
				if _, err := o.repo.Commit(t.Context(), gitserver.Change{Files: tc.files(o), Deletions: []string{"apps/stays.yaml"}}); err != nil {
					t.Fatal(err)
				}
			}
			o.server.SetFault(tc.fault)
			if tc.edit != nil {
				s := o.get("app")
				base := s.DeepCopy()
				tc.edit(&s.Spec)
				if err := o.Patch(t.Context(), s, client.MergeFrom(base)); err != nil {
					t.Fatal(err)
				}
			}
			o.request("app")
			message := o.failing("app", tc.reason)
			if !strings.Contains(message, tc.says) || strings.Contains(message, canary) {
				t.Errorf("message %q does not say %q", message, tc.says)
			}
			t.Log(message)
			if u := o.object("v1", "ConfigMap", "stays"); u == nil || u.GetResourceVersion() != before {
				t.Error("what was there before was changed")
			}
		})
	}
}

func TestPlaintextIsAppliedWhereItIsAllowed(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, source.Limits{})
	o.sync(func(s *v1alpha1.GitSyncSpec) { s.PlaintextSecrets, s.Decryption = v1alpha1.PlaintextAllow, nil })
	o.ready("app", o.commit(gitserver.Change{Files: map[string]string{"apps/db.yaml": plainSecret}}))
}

// TestNobodyTestsAGuessOfAPlaintextValueWithAStatus: whoever may read GitSyncs may not read their Secrets, and can build
// whatever files they think of.
func TestNobodyTestsAGuessOfAPlaintextValueWithAStatus(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, repository := range []string{"theirs", "one that guesses the value"} {
		o := newOrigin(t, source.Limits{})
		o.sync(func(s *v1alpha1.GitSyncSpec) { s.PlaintextSecrets, s.Decryption = v1alpha1.PlaintextAllow, nil })
		for _, other := range []string{"", "the next revision, which changes nothing of the path"} {
			o.ready("app", o.commit(gitserver.Change{Files: map[string]string{"apps/db.yaml": plainSecret, "other": repository + other}}))
			digest := o.get("app").Status.BuildDigest
			if seen[digest] || digest == "" {
				t.Errorf("%s has a digest %q like another repository or revision with the same value", repository, digest)
			}
			seen[digest] = true
		}
	}
}

// TestAnUpgradeThatMakesDigestsOtherwiseWritesOneStatus: what is applied does not depend on what an earlier version called it.
func TestAnUpgradeThatMakesDigestsOtherwiseWritesOneStatus(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, source.Limits{})
	revision := o.commit(gitserver.Change{Files: map[string]string{"apps/db.yaml": plainSecret, "apps/x.yaml": configMap("x", "1")}})
	o.sync(func(s *v1alpha1.GitSyncSpec) { s.PlaintextSecrets, s.Decryption = v1alpha1.PlaintextAllow, nil })
	s := o.ready("app", revision)
	o.quiet()
	o.halt()
	digest, old := s.Status.BuildDigest, "sha256:"+strings.Repeat("0", 64)
	before := s.DeepCopy()
	s.Status.BuildDigest, s.Status.History[0].Digest = old, old
	if err := o.Status().Patch(t.Context(), s, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	versions := func() string {
		return o.object("v1", "Secret", "db").GetResourceVersion() + " " + o.object("v1", "ConfigMap", "x").GetResourceVersion()
	}
	were := versions()
	for _, start := range []struct {
		what   string
		writes int
	}{{"the one after the upgrade", 1}, {"the next", 0}} {
		asked := len(o.server.Requests())
		o.traffic.reset()
		o.start()
		o.eventually("Git is asked", func() bool { return len(o.server.Requests()) > asked })
		o.eventually("the status has the digest", func() bool { return o.get("app").Status.BuildDigest == digest })
		o.quiet()
		if seen, writes := o.traffic.since(); writes != start.writes || versions() != were {
			t.Errorf("%s wrote %d times, want %d; the objects were at %s and are at %s: %q", start.what, writes, start.writes, were, versions(), seen)
		}
		if got := o.ready("app", revision).Status; got.BuildDigest != digest {
			t.Errorf("buildDigest %s after %s, want %s", got.BuildDigest, start.what, digest)
		}
		o.halt()
	}
}

func TestAKeyThatComesLateOpensWhatWasRefused(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, source.Limits{})
	old, _ := sopstest.Identity(t)
	o.put("late", map[string][]byte{"team.agekey": []byte(old)})
	o.commit(gitserver.Change{Files: map[string]string{"apps/db.yaml": o.sops(plainSecret)}})
	o.sync(func(s *v1alpha1.GitSyncSpec) { s.Decryption.SecretRef.Name = "late" })
	o.failing("app", v1alpha1.ReasonDecryptionFailed)
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: o.ns, Name: "late"}}
	patch := fmt.Appendf(nil, `{"stringData":{"team.agekey":%q}}`, o.key)
	if err := o.Patch(t.Context(), s, client.RawPatch(types.MergePatchType, patch)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	o.eventually("the Secret is there", func() bool { return o.exists("v1", "Secret", "db") })
	t.Logf("%s after the key", time.Since(began).Round(time.Millisecond))
}

func TestEverythingGoesToTheTargetNamespace(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, source.Limits{})
	target := o.cp.Namespace(t)
	o.sync(func(s *v1alpha1.GitSyncSpec) { s.TargetNamespace = target })
	o.ready("app", o.commit(gitserver.Change{Files: map[string]string{"apps/all.yaml": `
{apiVersion: v1, kind: ServiceAccount, metadata: {name: runner, namespace: other}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: runner}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: runner, namespace: other}]
`}}))
	o.world.ns, target = target, o.world.ns
	defer func() { o.world.ns = target }()
	binding := o.object("rbac.authorization.k8s.io/v1", "RoleBinding", "runner")
	if binding == nil || !o.exists("v1", "ServiceAccount", "runner") {
		t.Fatal("not there")
	}
	if got := fmt.Sprint(binding.Object["subjects"]); !strings.Contains(got, o.world.ns) {
		t.Errorf("subjects %s", got)
	}
}

func TestARepositoryOver256MiBIsRefusedAndChangesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("transfers 256 MiB")
	}
	// Not in parallel: the race detector looks at every byte, and the other tests have deadlines.
	const patience = 10 * time.Minute // of the attempt, too, which would end otherwise before it has come to the limit
	o := newOrigin(t, source.Limits{Time: patience})
	o.sync(nil)
	o.ready("app", o.commit(gitserver.Change{Files: map[string]string{"apps/stays.yaml": configMap("stays", "1")}}))
	before := o.object("v1", "ConfigMap", "stays").GetResourceVersion()
	const files, size = 52, 5 << 20 // 260 MiB that do not compress
	if _, err := o.repo.Grow(t.Context(), "big", files, size); err != nil {
		t.Fatal(err)
	}
	o.request("app")
	var ready metav1.Condition
	o.within(patience, "the repository is refused", func() bool {
		ready = condition(o.get("app"), v1alpha1.ConditionReady)
		return ready.Reason == v1alpha1.ReasonRepositoryTooLarge
	})
	if !strings.Contains(ready.Message, "256 MiB") {
		t.Errorf("message %q does not say what the limit is", ready.Message)
	}
	if u := o.object("v1", "ConfigMap", "stays"); u == nil || u.GetResourceVersion() != before {
		t.Error("what was there before was changed")
	}
}
