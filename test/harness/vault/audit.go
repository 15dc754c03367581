package vault

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/vault/api"
)

// Request is a request that the server has seen, from its audit log. Values and tokens are not in it.
type Request struct {
	// Operation is Vault's word: "read", "update", "list", "delete"; a login is an update of auth/<mount>/login.
	Operation string
	// Path has no leading slash and names the mount, as in "kv/data/app/db".
	Path string
	// User is the display name of the token, such as "kubernetes-default-app"; the harness is "token", a login is empty.
	User string
}

func (s *Server) auditFile() string { return filepath.Join(s.dir, "audit.log") }

func (s *Server) enableAudit(ctx context.Context) error {
	opts := &api.EnableAuditOptions{Type: "file", Options: map[string]string{"file_path": s.auditFile()}}
	if err := s.client.Sys().EnableAuditWithOptionsWithContext(ctx, "file", opts); err != nil {
		return fmt.Errorf("enable audit log: %w", err)
	}
	return nil
}

// Requests returns all requests since the start, oldest first, those of the verbs of this package among them. Vault
// writes each before it answers, so a request that has been answered is in the list.
func (s *Server) Requests() ([]Request, error) {
	file, err := os.Open(s.auditFile())
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	defer file.Close()
	var requests []Request
	decoder := json.NewDecoder(bufio.NewReader(file))
	for {
		var entry struct {
			Type string `json:"type"`
			Auth struct {
				DisplayName string `json:"display_name"`
			} `json:"auth"`
			Request struct {
				Operation string `json:"operation"`
				Path      string `json:"path"`
			} `json:"request"`
		}
		err := decoder.Decode(&entry)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // the last line may be half written
			return requests, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read audit log: %w", err)
		}
		if entry.Type == "request" {
			requests = append(requests, Request{Operation: entry.Request.Operation, Path: entry.Request.Path, User: entry.Auth.DisplayName})
		}
	}
}
