package outbound_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/stint-run/stint/internal/outbound"
)

func TestWhichAddressesArePublic(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"93.184.216.34": true, "2606:2800:220:1::1": true, "::ffff:93.184.216.34": true, "172.32.0.1": true,
		"127.0.0.1": false, "127.8.8.8": false, "::1": false, "0.0.0.0": false, "::": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"100.64.0.1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd00:ec2::254": false, "224.0.0.1": false,
		"255.255.255.255": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "::7f00:1": false, "ff02::1": false, "198.18.0.1": false,
	} {
		if got := outbound.Public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

func TestAnAddressThatIsNotPublicIsNotDialled(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]error{"93.184.216.34:443": nil, "127.0.0.1:80": outbound.ErrPrivate, "[::1]:80": outbound.ErrPrivate, "nowhere": outbound.ErrPrivate} {
		if err := outbound.PublicOnly("tcp", address, nil); !errors.Is(err, want) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
