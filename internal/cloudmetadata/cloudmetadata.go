// Package cloudmetadata knows the addresses at which clouds give the credentials of a node to whoever asks.
//
// It takes an address and says whether it is one of them. Whoever connects to where somebody else says, because they may write a
// store or a GitSync, asks it about the address that a name led to. Private and loopback addresses are like any other: backends
// and Git servers live there.
package cloudmetadata

import "net/netip"

// Has reports whether the address is one of a cloud's metadata service, or link-local, where most of them are. An IPv4 address
// may be mapped into IPv6, and a zone makes no difference.
func Has(address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	switch address.String() {
	case "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192": // AWS, Google, Alibaba, Azure, Oracle
		return true
	}
	return address.IsLinkLocalUnicast()
}
