package bench

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// cpu is what a run cost: wall times depend on the neighbours, CPU time hardly.
type cpu struct{ self, redis time.Duration }

func cpuNow(rdb *redis.Client) cpu {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	c := cpu{self: time.Duration(u.Utime.Nano() + u.Stime.Nano())}
	for line := range strings.SplitSeq(rdb.Info(context.Background(), "cpu").Val(), "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			var s float64
			_, _ = fmt.Sscan(value, &s)
			c.redis += time.Duration(s * float64(time.Second))
		}
	}
	return c
}

func (c cpu) since(rdb *redis.Client, n int) string {
	now := cpuNow(rdb)
	return fmt.Sprintf("cpu of one: this process %v, redis %v", ((now.self - c.self) / time.Duration(n)).Round(time.Microsecond), ((now.redis - c.redis) / time.Duration(n)).Round(time.Microsecond))
}
