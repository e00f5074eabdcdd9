package idmap

import (
	"embed"
	"net/url"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Every key of the map in Redis. They live until somebody forgets a map: no id has a time to live.

const prefix = "stint:ids:{t:"

// mapsKey: hash, the maps of a tenant. token is random, made once; ids is how many there are in all maps; n:<map> how many in one and
// b:<map> over how many buckets. The buckets of a map are mapsKey + ":<map>:<number>": hashes, field -> id, both packed. The scripts
// make those names themselves.
func mapsKey(tenant string) string {
	return prefix + url.PathEscape(tenant) + "}" // escaped, as a brace would end the hash tag
}

// tenantOf is the tenant of a mapsKey, and false when the key is another.
func tenantOf(key string) (string, bool) {
	rest, ours := strings.CutPrefix(key, prefix)
	name, closed := strings.CutSuffix(rest, "}") // the keys of buckets go on
	tenant, err := url.PathUnescape(name)
	return tenant, ours && closed && err == nil
}

// fill is how many ids a bucket has on average before the map gets another one. One that is about to be split has twice as many, and
// chance adds some: more than 512 (hash-max-listpack-entries) would cost five times the memory.
const fill = 200

//go:embed scripts/*.lua
var scriptFiles embed.FS

func script(name string) *redis.Script {
	b, err := scriptFiles.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic("idmap: script is missing from the binary: " + name)
	}
	return redis.NewScript(string(b))
}

var (
	keepScript   = script("keep")
	lookScript   = script("look")
	walkScript   = script("walk")
	forgetScript = script("forget")
)
