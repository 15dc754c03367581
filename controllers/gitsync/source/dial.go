package source

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

var errForbiddenAddress = errors.New("address is not allowed")

// forbidden are the addresses that no repository has and that answer with the credentials of the machine itself: whoever
// may write a GitSync chooses the URL. Private and loopback addresses are allowed, because Git servers live there; their
// answers never reach a message, and TLS or a known host key is required of them.
//
//nolint:gochecknoglobals // constants that Go cannot express as such
var forbidden = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),     // link-local, cloud metadata
	netip.MustParsePrefix("fe80::/10"),          // link-local
	netip.MustParsePrefix("fd00:ec2::254/128"),  // AWS metadata
	netip.MustParsePrefix("fd20:ce::254/128"),   // Google metadata
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba metadata
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure wire server
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle metadata
	netip.MustParsePrefix("0.0.0.0/8"),          // "this host"
	netip.MustParsePrefix("::/128"),             // "this host"
	netip.MustParsePrefix("224.0.0.0/4"),        // multicast
	netip.MustParsePrefix("240.0.0.0/4"),        // reserved, broadcast
	netip.MustParsePrefix("ff00::/8"),           // multicast
}

// allowed says whether a connection to addr may be made.
func allowed(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, prefix := range forbidden {
		if prefix.Contains(addr) {
			return false
		}
	}
	return addr.IsValid()
}

// dial connects after the name was resolved and the address that will be used was checked, so that no second look-up can
// lead elsewhere.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{
		Timeout: 20 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error {
			ip, err := netip.ParseAddrPort(address)
			if err != nil || !allowed(ip.Addr()) {
				return errForbiddenAddress
			}
			return nil
		},
	}
	return dialer.DialContext(ctx, network, address)
}
