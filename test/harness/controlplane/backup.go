package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
)

// Save keeps what the cluster holds, for Restore. The control plane is down meanwhile. It is for one that nobody shares.
func (c *ControlPlane) Save(ctx context.Context) error {
	nothing := func(context.Context, string) error { return nil }
	return c.offline(ctx, func() error { return os.CopyFS(c.path("saved"), os.DirFS(c.path("etcd"))) }, nothing)
}

// Restore puts back what Save kept, once, as etcd's documentation says for Kubernetes (etcdutl snapshot restore --bump-revision
// --mark-compacted): objects have the versions that they had, what is written from now on has later ones than seen, the newest that
// somebody can know, and who watches has to list anew. With 0 the revision is what it was, and nobody is told anything, as without these
// flags. The control plane is down meanwhile.
func (c *ControlPlane) Restore(ctx context.Context, seen int64) error {
	return c.offline(ctx, func() error {
		if err := os.RemoveAll(c.path("etcd")); err != nil {
			return err
		}
		return os.Rename(c.path("saved"), c.path("etcd"))
	}, func(ctx context.Context, etcd string) error {
		if seen == 0 {
			return nil
		}
		return bump(ctx, etcd, seen)
	})
}

// offline does something while nothing of the control plane runs, and something else before the API server starts.
func (c *ControlPlane) offline(ctx context.Context, do func() error, before func(ctx context.Context, etcd string) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for i := len(c.processes) - 1; i >= 0; i-- {
		c.processes[i].Kill()
	}
	c.processes = nil
	if err := do(); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	return c.anew(ctx, before)
}

// bump writes until the database's revision is after one, and forgets the history before that.
func bump(ctx context.Context, etcd string, after int64) error {
	revision := int64(0)
	for revision <= after {
		var err error
		if revision, err = post(ctx, etcd+"/v3/kv/put", map[string]any{"key": []byte("bump"), "value": []byte("x")}); err != nil {
			return err
		}
	}
	_, err := post(ctx, etcd+"/v3/kv/compaction", map[string]any{"revision": strconv.FormatInt(revision, 10)})
	return err
}

// post asks etcd's JSON gateway, and returns the revision of the answer.
func post(ctx context.Context, url string, question map[string]any) (int64, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return 0, fmt.Errorf("ask etcd: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("ask etcd: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask etcd: %w", err)
	}
	defer resp.Body.Close()
	var answer struct {
		Header struct {
			Revision int64 `json:"revision,string"`
		} `json:"header"`
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("ask etcd %s: status %d", url, resp.StatusCode)
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, fmt.Errorf("ask etcd %s: %w", url, err)
	}
	return answer.Header.Revision, nil
}
