package source

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/sealbridge/sealbridge/internal/cloudmetadata"
)

var errForbiddenAddress = errors.New("address is not allowed")

// forbidden are addresses that no repository has.
//
//nolint:gochecknoglobals // constants that Go cannot express as such
var forbidden = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),   // "this host"
	netip.MustParsePrefix("::/128"),      // "this host"
	netip.MustParsePrefix("224.0.0.0/4"), // multicast
	netip.MustParsePrefix("240.0.0.0/4"), // reserved, broadcast
	netip.MustParsePrefix("ff00::/8"),    // multicast
}

// allowed says whether a connection to addr may be made: whoever may write a GitSync chooses the URL, and must not reach what
// answers with the credentials of the machine itself. Private and loopback addresses are allowed, because Git servers live
// there; their answers never reach a message, and TLS or a known host key is required of them.
func allowed(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, prefix := range forbidden {
		if prefix.Contains(addr) {
			return false
		}
	}
	return addr.IsValid() && !cloudmetadata.Has(addr)
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
