//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package localredis

import (
	"errors"
	"os"
)

// tryLock has nothing to lock with here.
func tryLock(*os.File) (bool, error) {
	return false, errors.New("this system has no file locks; set redis.url instead")
}
