package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"filippo.io/age"
	"github.com/getsops/sops/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/crypto/sopsfile"
	"github.com/sealbridge/sealbridge/crypto/sopsfile/sopstest"
	"github.com/sealbridge/sealbridge/test/harness/gitserver"
)

// repoFiles is what the team commits as it is; the sealed and the encrypted file are made by the walk.
//
//go:embed repo/*.yaml
var repoFiles embed.FS

// clusterFiles is what is applied to the cluster by hand.
//
//go:embed cluster/*.yaml
var clusterFiles embed.FS

// The Git user of the demo; the password is as public as this file and serves on loopback only.
const (
	repository  = "team/shop"
	gitUser     = "deploy"
	gitPassword = "demo"
)

func (p *parts) startGit(ctx context.Context) error {
	var err error
	p.git, err = gitserver.Start(ctx, gitserver.Options{Dir: filepath.Join(p.dir, "git"), Username: gitUser, Password: gitPassword})
	if err != nil {
		return err
	}
	p.repo, err = p.git.Create(ctx, repository)
	return err
}

// commitRepository makes the first commit, and the two Secrets that no repository can hold: the key of the SOPS files
// and the credentials for Git.
func (s *story) commitRepository(ctx context.Context) error {
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return fmt.Errorf("make age key: %w", err)
	}
	for name, data := range map[string]map[string]string{
		"sops-age":        {"team.agekey": identity.String()},
		"git-credentials": {"username": gitUser, "password": gitPassword, "ca.crt": string(s.git.CA())},
	} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: name}, StringData: data}
		if err := s.client.Create(ctx, secret); err != nil {
			return fmt.Errorf("create Secret %s: %w", name, err)
		}
	}
	files := map[string]string{"shop/kustomization.yaml": s.kustomization()}
	values := map[string]string{"VaultAddress": s.vault.Address(), "VaultCA": base64.StdEncoding.EncodeToString(s.vault.CA())}
	for _, name := range []string{"store.yaml", "database.yaml", "connection.yaml", "deployment.yaml"} {
		if files["shop/"+name], err = render(repoFiles, "repo/"+name, values); err != nil {
			return err
		}
	}
	s.license = s.newValue()
	if files["shop/license.yaml"], err = s.sealLicense(ctx); err != nil {
		return err
	}
	s.token = s.newValue()
	if files["shop/payment-api.yaml"], err = s.encryptPayment(identity.Recipient().String()); err != nil {
		return err
	}
	if err := s.noPlaintext(files); err != nil {
		return err
	}
	return s.commit(ctx, "Describe the shop", files)
}

// sealLicense seals with the CLI as its user would, with the certificate that the controller serves.
func (s *story) sealLicense(ctx context.Context) (string, error) {
	secret, err := json.Marshal(&corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: "license"},
		StringData: map[string]string{"key": s.license},
	})
	if err != nil {
		return "", fmt.Errorf("write Secret: %w", err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.root, "bin", "sealbridge"), "seal", "--cert", s.certURL, "-o", "yaml")
	cmd.Stdin = bytes.NewReader(secret)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("sealbridge seal: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	s.say("   $ sealbridge seal --cert %s -o yaml < license-secret.yaml > license.yaml", s.certURL)
	return out.String(), nil
}

// encryptPayment encrypts with SOPS itself, to a post-quantum age key.
func (s *story) encryptPayment(recipient string) (string, error) {
	out, err := sopstest.File{
		Format:     sopsfile.YAML,
		Plain:      "apiVersion: v1\nkind: Secret\nmetadata:\n  name: payment-api\nstringData:\n  stripe_token: " + s.token + "\n",
		Recipients: []string{recipient},
		Rules:      func(m *sops.Metadata) { m.EncryptedRegex = "^(data|stringData)$" },
	}.Write()
	if err != nil {
		return "", err
	}
	s.say("   $ sops encrypt --encrypted-regex '^(data|stringData)$' payment-api.yaml")
	return string(out), nil
}

// noPlaintext checks the claim: none of the values is in what is committed.
func (s *story) noPlaintext(files map[string]string) error {
	for name, content := range files {
		for _, value := range []string{s.password, s.license, s.token} {
			if strings.Contains(content, value) || strings.Contains(content, base64.StdEncoding.EncodeToString([]byte(value))) {
				return fmt.Errorf("%s holds a value in plaintext", name)
			}
		}
	}
	return nil
}

func (s *story) connectionURL() string {
	return "postgres://shop:" + s.password + "@db.shop.internal/shop" // the values need no escaping
}

// kustomization returns the kustomization with resources added, and "-name" taken away.
func (s *story) kustomization(changes ...string) string {
	resources := []string{"store.yaml", "database.yaml", "connection.yaml", "license.yaml", "payment-api.yaml", "deployment.yaml"}
	for _, change := range changes {
		if name, gone := strings.CutPrefix(change, "-"); gone {
			resources = slices.DeleteFunc(resources, func(r string) bool { return r == name })
		} else {
			resources = append(resources, change)
		}
	}
	return "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: " + team +
		"\nresources:\n  - " + strings.Join(resources, "\n  - ") + "\n"
}

func (s *story) commit(ctx context.Context, message string, files map[string]string) error {
	return s.remove(ctx, message, files)
}

// remove commits files and takes others away.
func (s *story) remove(ctx context.Context, message string, files map[string]string, gone ...string) error {
	id, err := s.repo.Commit(ctx, gitserver.Change{Message: message, Files: files, Deletions: gone})
	if err != nil {
		return err
	}
	s.say("   $ git commit -m %q && git push   (%.7s)", message, id)
	return nil
}

func (s *story) kubectlApply(ctx context.Context, file string, values map[string]string) error {
	manifest, err := render(clusterFiles, file, values)
	if err != nil {
		return err
	}
	out, err := s.kubectl(ctx, manifest, "apply", "-f", "-")
	s.say("   $ kubectl apply -f %s\n     %s", filepath.Base(file), strings.TrimSpace(out))
	return err
}

// render fills in what differs from run to run; the delimiters leave the templates of ExternalSecrets alone.
func render(files fs.FS, name string, values map[string]string) (string, error) {
	t, err := template.New(filepath.Base(name)).Delims("[[", "]]").Option("missingkey=error").ParseFS(files, name)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, values); err != nil {
		return "", fmt.Errorf("fill in %s: %w", name, err)
	}
	return b.String(), nil
}
