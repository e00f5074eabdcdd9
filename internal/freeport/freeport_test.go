package freeport_test

import (
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
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

// Towns of servers start at the same time, and a server that is away for a moment finds nobody at its port when it comes back.
func TestAPortIsGivenOnce(t *testing.T) {
	t.Parallel()
	const askers, each = 8, 250 // of 22,000 ports two would be the same in nearly a hundred cases
	all := make(chan int, askers*each)
	var group sync.WaitGroup
	for range askers {
		group.Go(func() {
			for range each {
				port, err := freeport.Find()
				if err != nil {
					t.Error(err)
				}
				all <- port
			}
		})
	}
	group.Wait()
	close(all)
	seen := map[int]bool{}
	for port := range all {
		if seen[port] {
			t.Errorf("port %d was given twice", port)
		}
		seen[port] = true
	}
}
