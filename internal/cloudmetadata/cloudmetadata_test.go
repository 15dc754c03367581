package cloudmetadata

import (
	"net/netip"
	"testing"
)

func TestOnlyAddressesWhereCloudsKeepCredentialsAreTheirs(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"169.254.169.254": true, "169.254.170.2": true, "::ffff:169.254.169.254": true, "fe80::1%eth0": true, "fe80::a9fe:a9fe": true,
		"fd00:ec2::254": true, "fd00:ec2::254%eth0": true, "fd20:ce::254": true, "100.100.100.200": true, "::ffff:100.100.100.200": true,
		"168.63.129.16": true, "192.0.0.192": true,
		"100.100.100.201": false, "fd00:ec2::253": false, "127.0.0.1": false, "::1": false, "10.0.0.1": false, "192.168.0.1": false,
		"fd00::1": false, "140.82.112.3": false,
	} {
		if got := Has(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	if Has(netip.Addr{}) {
		t.Error("no address is one")
	}
}
