// Package outbound says where a request may go whose address somebody has written into a configuration: to the public internet, unless
// they have said that it may lead into a private network.
package outbound

import (
	"errors"
	"net/netip"
	"syscall"
)

// ErrPrivate is why nothing was sent into a private network.
var ErrPrivate = errors.New("the address leads into a private network: set private: true if it may")

// PublicOnly is for net.Dialer.Control: it refuses addresses that are not of the public internet, with ErrPrivate. It sees the address
// that is dialled, after the name was resolved, so that no name can lead elsewhere between a check and the connection.
func PublicOnly(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !Public(at.Addr()) {
		return ErrPrivate
	}
	return nil
}

// reserved are networks that lead to no server of the public internet and that net/netip has no word for.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	// IPv6 that wraps IPv4: what it leads to is up to a gateway.
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("fec0::/10"),
}

// Public reports whether an address leads to a server of the public internet.
func Public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	for _, p := range reserved {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
