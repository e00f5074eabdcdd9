// Package freeport finds ports of the loopback interface for servers that have to be told one before they start.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	// lowest is above the ports that well-known servers take.
	lowest = 10240
	// enough ports below those of the kernel make it worth looking there.
	enough = 1000
	// attempts bounds the search: where half of the ports are taken, or were given before, all of them fail once in a million times.
	attempts = 20
	// elsewhere is where IANA has ports of outgoing connections begin (RFC 6335), for a kernel that does not say.
	elsewhere = 49152
	// rangeFile is where Linux says from which ports it takes those of outgoing connections (ip(7), ip_local_port_range).
	rangeFile = "/proc/sys/net/ipv4/ip_local_port_range"
)

// Find returns a port of 127.0.0.1 that nobody listens at, at this moment.
//
// It is not one of those that the kernel gives to outgoing connections. A server that is started, or started again, at one of
// those may find a client there: whoever calls the server while it is down may get the very port that he calls as his own and be
// connected to himself, and after any connection of such a port was closed nobody listens there for a minute (TIME_WAIT).
//
// A process is not given the same port twice: whoever was given it may not have listened yet, or listen again later. Two processes that
// look at once may find the same, which is as rare as one in ten thousand; take another when the server cannot listen.
func Find() (int, error) {
	high := ephemeral()
	if high-lowest < enough {
		return listen(0)
	}
	for range attempts {
		port := lowest + rand.IntN(high-lowest) // #nosec G404 -- no secret
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		port, err := listen(port)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
			return port, err
		}
	}
	return listen(0)
}

// given are the ports that Find has tried in this process.
var given sync.Map

// Address is Find as an address, such as 127.0.0.1:12345.
func Address() (string, error) {
	port, err := Find()
	if err != nil {
		return "", err
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), nil
}

func listen(port int) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port = l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// ephemeral returns the lowest port that the kernel gives to outgoing connections.
func ephemeral() int {
	text, err := os.ReadFile(rangeFile)
	if err != nil {
		return elsewhere
	}
	low, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\t")
	port, err := strconv.Atoi(low)
	if err != nil {
		return elsewhere
	}
	return port
}
