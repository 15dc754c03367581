package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// UserConfig returns a client configuration of the user in the groups, by a client certificate. A new user may do what
// every authenticated user may, which is nearly nothing; Allow grants more.
func (c *ControlPlane) UserConfig(name string, groups ...string) (*rest.Config, error) {
	cert, key, err := c.ca.Client(name, groups...)
	if err != nil {
		return nil, err
	}
	cfg := rest.AnonymousClientConfig(c.admin)
	cfg.QPS = -1
	cfg.CertData, cfg.KeyData = cert, key
	return cfg, nil
}

// ServiceAccountConfig returns a client configuration of the service account, which it creates when it is not there,
// by a token of one hour.
func (c *ControlPlane) ServiceAccountConfig(ctx context.Context, namespace, name string) (*rest.Config, error) {
	token, err := c.ServiceAccountToken(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	cfg := rest.AnonymousClientConfig(c.admin)
	cfg.QPS = -1
	cfg.BearerToken = token
	return cfg, nil
}

// ServiceAccountToken returns a token of one hour of the service account, which it creates when it is not there, for
// the audiences; without any, for the API server itself.
func (c *ControlPlane) ServiceAccountToken(ctx context.Context, namespace, name string, audiences ...string) (string, error) {
	clients, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return "", fmt.Errorf("build client: %w", err)
	}
	if err := createServiceAccount(ctx, clients, namespace, name); err != nil {
		return "", err
	}
	return c.requestToken(ctx, namespace, name, time.Hour, audiences)
}

// Issuer is that of the tokens of service accounts.
const Issuer = "https://kubernetes.default.svc.cluster.local"

// TokenKeys returns the keys by which tokens of service accounts are verified, as the API server publishes them.
func (c *ControlPlane) TokenKeys(ctx context.Context) (*jose.JSONWebKeySet, error) {
	clients, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return nil, fmt.Errorf("build client: %w", err)
	}
	raw, err := clients.RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the keys of tokens: %w", err)
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(raw, &keys); err != nil {
		return nil, fmt.Errorf("read the keys of tokens: %w", err)
	}
	if len(keys.Keys) == 0 {
		return nil, errors.New("read the keys of tokens: there is none")
	}
	return &keys, nil
}

// TokenReviewer returns a token of one year of a service account that may only review tokens and access
// (system:auth-delegator): what a Vault that this cluster logs in to needs. It makes the account.
func (c *ControlPlane) TokenReviewer(ctx context.Context) (string, error) {
	const namespace, name = "kube-system", "token-reviewer"
	clients, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return "", fmt.Errorf("build client: %w", err)
	}
	if err := createServiceAccount(ctx, clients, namespace, name); err != nil {
		return "", err
	}
	if err := c.Bind(ctx, ServiceAccount(namespace, name), "", "ClusterRole", "system:auth-delegator"); err != nil {
		return "", err
	}
	return c.requestToken(ctx, namespace, name, 365*24*time.Hour, nil)
}

func (c *ControlPlane) requestToken(ctx context.Context, namespace, name string, life time.Duration, audiences []string) (string, error) {
	clients, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return "", fmt.Errorf("build client: %w", err)
	}
	seconds := int64(life.Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences, ExpirationSeconds: &seconds}}
	answer, err := clients.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("request a token of service account %s/%s: %w", namespace, name, err)
	}
	return answer.Status.Token, nil
}

func createServiceAccount(ctx context.Context, clients kubernetes.Interface, namespace, name string) error {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err := clients.CoreV1().ServiceAccounts(namespace).Create(ctx, account, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create service account %s/%s: %w", namespace, name, err)
	}
	return nil
}

// User is the RBAC subject of a user, for Allow and Bind.
func User(name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}
}

// ServiceAccount is the RBAC subject of a service account, for Allow and Bind.
func ServiceAccount(namespace, name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}
}

// Allow lets the subject do what the rules say in the namespace, or in the whole cluster when namespace is empty, and returns
// when the API server has heard of it.
func (c *ControlPlane) Allow(ctx context.Context, subject rbacv1.Subject, namespace string, rules ...rbacv1.PolicyRule) error {
	clients, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return fmt.Errorf("build client: %w", err)
	}
	meta := metav1.ObjectMeta{GenerateName: "test-"}
	if namespace == "" {
		role, err := clients.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("create cluster role for %s: %w", subject.Name, err)
		}
		return c.Bind(ctx, subject, "", "ClusterRole", role.Name)
	}
	role, err := clients.RbacV1().Roles(namespace).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create role for %s: %w", subject.Name, err)
	}
	return c.Bind(ctx, subject, namespace, "Role", role.Name)
}

// Bind binds the subject to the role of the kind ("Role" or "ClusterRole") in the namespace, or in the whole cluster
// when namespace is empty, and returns when the API server has heard of it.
func (c *ControlPlane) Bind(ctx context.Context, subject rbacv1.Subject, namespace, kind, role string) error {
	clients, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return fmt.Errorf("build client: %w", err)
	}
	meta := metav1.ObjectMeta{GenerateName: "test-"}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role}
	subjects := []rbacv1.Subject{subject}
	if namespace == "" {
		binding := &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects}
		_, err = clients.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{})
	} else {
		binding := &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects}
		_, err = clients.RbacV1().RoleBindings(namespace).Create(ctx, binding, metav1.CreateOptions{})
	}
	if err != nil {
		return fmt.Errorf("bind %s to %s %s: %w", subject.Name, kind, role, err)
	}
	return c.Granted(ctx, subject, namespace, kind, role)
}

// WriteKubeconfig writes a kubeconfig file, mode 0600, with the configuration as its only context.
func WriteKubeconfig(path string, cfg *rest.Config) error {
	const name = "sealbridge"
	file := clientcmdapi.NewConfig()
	file.Clusters[name] = &clientcmdapi.Cluster{Server: cfg.Host, CertificateAuthorityData: cfg.CAData}
	file.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: cfg.CertData, ClientKeyData: cfg.KeyData, Token: cfg.BearerToken,
	}
	file.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	file.CurrentContext = name
	if err := clientcmd.WriteToFile(*file, path); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}
