// Command apiserver is a hostile API as a process of its own, for tests that kill everything else. It prints its URL, then serves until it
// is ended; GET /_state says what took effect.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/httpsink/apitest"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where to listen")
	mode := flag.String("mode", string(apitest.ModeKeys), "keys, record_keys, lookup or put")
	seed := flag.Uint64("seed", 1, "what decides about faults")
	hostile := flag.Bool("hostile", false, "with faults of all kinds")
	partial := flag.Bool("partial", false, "answer batches record by record")
	token := flag.String("token", "", "the bearer token that requests need")
	reject := flag.String("reject", "", "refuse records whose key ends with this")
	hang := flag.Duration("hang", 30*time.Second, "how long a request that hangs has no answer")
	flag.Parse()
	o := apitest.Options{Mode: apitest.Mode(*mode), Seed: *seed, Partial: *partial, Token: *token, HangFor: *hang}
	if *hostile {
		o.Faults = apitest.Hostile()
	}
	if *reject != "" {
		o.Reject = func(key string) bool { return strings.HasSuffix(key, *reject) }
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("http://" + l.Addr().String())
	if err := apitest.New(o).Serve(l); err != nil {
		log.Fatal(err)
	}
}
