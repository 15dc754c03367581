package jsonhttp

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Whoever may write a store chooses its URL.
func TestAddressesWhereCloudsKeepCredentialsAreNotDialled(t *testing.T) {
	t.Parallel()
	for peer, allowed := range map[string]bool{
		"169.254.169.254:80": false, "169.254.170.2:80": false, "[::ffff:169.254.169.254]:80": false, "[fe80::1%eth0]:80": false,
		"[fd00:ec2::254]:80": false, "[fd20:ce::254]:443": false, "100.100.100.200:80": false, "168.63.129.16:80": false,
		"192.0.0.192:80": false, "[::ffff:100.100.100.200]:80": false, "no address": false,
		"127.0.0.1:8200": true, "[::1]:8200": true, "10.0.0.1:8200": true, "192.168.0.1:443": true, "[fd00::1]:8200": true, "140.82.112.3:443": true,
	} {
		err := refuseMetadata(t.Context(), "tcp", peer, nil)
		if (err == nil) != allowed || err != nil && !errors.Is(err, errMetadata) {
			t.Errorf("%s: %v", peer, err)
		}
	}
	// The client itself asks: a name or an address in the URL makes no difference at this point.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c := New(Options{Base: &url.URL{Scheme: "http", Host: "100.100.100.200"}})
	defer c.Close()
	_, err := c.Do(ctx, Request{Method: "GET", Path: "latest/meta-data"})
	if err == nil || !strings.Contains(err.Error(), "metadata addresses are refused") {
		t.Errorf("got %v", err)
	}
}
