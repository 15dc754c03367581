package setup

import "testing"

func TestProfilesAreServedOnLoopbackAlone(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"": true, "127.0.0.1:6060": true, "[::1]:6060": true, "localhost:6060": true,
		":6060": false, "0.0.0.0:6060": false, "10.0.0.1:6060": false, "6060": false, "example.com:6060": false,
	} {
		if err := checkProfiles(address); (err == nil) != ok {
			t.Errorf("%q: %v, want it accepted: %t", address, err, ok)
		}
	}
}
