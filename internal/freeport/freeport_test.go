package freeport_test

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/freeport"
)

func TestAPortIsFreeAndNoneOfThoseOfOutgoingConnections(t *testing.T) {
	t.Parallel()
	low := 49152 // RFC 6335, for a kernel that does not say
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if low, err = strconv.Atoi(strings.Fields(string(text))[0]); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for range 100 {
		address, err := freeport.Address()
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		if port := l.Addr().(*net.TCPAddr).Port; low > 12000 && (port >= low || port < 1024) {
			t.Errorf("port %d is one of those that begin with %d", port, low)
		}
		if seen[address] {
			t.Errorf("%s was given twice, while somebody listened there", address)
		}
		seen[address] = true
	}
}
